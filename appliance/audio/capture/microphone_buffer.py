"""The last seconds of microphone audio, addressed by sample index.

It is the pre-roll of the wake word and the place where speech waits for a link. Used on the loop's thread only.
"""

import numpy as np

from appliance.audio.ports import Block
from appliance.units import UPLINK, Pcm, SampleIndex


class MicrophoneBuffer:
    """A ring of 16 kHz mono samples. It holds ``capacity_s`` seconds; when full, the newest overwrites the oldest.

    What a reader had not read yet is the reader's loss to count: it sees ``begin`` pass its position.
    """

    def __init__(self, capacity_s: float) -> None:
        self._ring = np.zeros(UPLINK.frames(capacity_s), dtype=np.int16)
        self._first: SampleIndex | None = None
        self._end = SampleIndex(0)
        self._lost = 0

    @property
    def begin(self) -> SampleIndex:
        """Index of the oldest sample kept; equals ``end`` while there is none."""
        return SampleIndex(max(self._first or 0, self._end - len(self._ring)))

    @property
    def end(self) -> SampleIndex:
        """Index after the newest sample; 0 before the first block."""
        return self._end

    @property
    def lost(self) -> int:
        """Samples that the microphone has lost so far, as its blocks tell: here they are zeros."""
        return self._lost

    def append(self, block: Block) -> None:
        """Take the next block. The first one says where the stream begins; a gap before a later one becomes zeros.

        Raises:
            ValueError: The block begins before the end of the one before: its indices cannot be right.
        """
        if self._first is None:
            self._first = self._end = block.start
        gap = block.start - self._end
        if gap < 0:
            raise ValueError(f"a microphone block begins at sample {block.start}, {-gap} before the last one ends")
        if gap:
            self._lost += gap
            self._write(np.zeros(min(gap, len(self._ring)), dtype=np.int16), block.start)
        self._write(block.samples, SampleIndex(block.start + len(block.samples)))

    def read(self, start: SampleIndex, stop: SampleIndex) -> Pcm:
        """Return a copy of the samples from ``start`` up to, not including, ``stop``.

        Raises:
            IndexError: Some of them are not kept any more, or not captured yet.
        """
        if not self.begin <= start <= stop <= self._end:
            raise IndexError(f"samples {start} to {stop} are not within {self.begin} to {self._end}")
        at = start % len(self._ring)
        straight = self._ring[at : at + stop - start]
        return np.concatenate((straight, self._ring[: stop - start - len(straight)]))

    def _write(self, samples: Pcm, end: SampleIndex) -> None:
        """Store samples that end before ``end``."""
        samples = samples[-len(self._ring) :]
        at = (end - len(samples)) % len(self._ring)
        straight = min(len(samples), len(self._ring) - at)
        self._ring[at : at + straight] = samples[:straight]
        self._ring[: len(samples) - straight] = samples[straight:]
        self._end = end
