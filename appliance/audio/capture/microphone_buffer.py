"""The last seconds of microphone audio, addressed by sample index.

It holds the pre-roll of the wake word, and speech that waits for a link. Loop thread only.
"""

import numpy as np

from appliance.audio.ports import Block
from appliance.audio.ring import SampleRing
from appliance.units import UPLINK, Pcm, SampleIndex


class MicrophoneBuffer:
    """A ring of 16 kHz mono samples. It holds ``capacity_s`` seconds; when full, the newest overwrites the oldest.

    Each reader counts what it lost: it sees ``begin`` pass its position.
    """

    def __init__(self, capacity_s: float) -> None:
        self._ring = SampleRing(UPLINK.frames(capacity_s))
        self._first: SampleIndex | None = None
        self._lost = 0

    @property
    def begin(self) -> SampleIndex:
        """Index of the oldest sample kept; equals ``end`` while there is none."""
        return SampleIndex(max(self._first or 0, self._ring.end - self._ring.capacity))

    @property
    def end(self) -> SampleIndex:
        """Index after the newest sample; 0 before the first block."""
        return SampleIndex(self._ring.end)

    @property
    def lost(self) -> int:
        """Samples that the microphone has lost so far, by the indices of its blocks; the buffer holds zeros instead."""
        return self._lost

    def append(self, block: Block) -> None:
        """Take the next block. The first one sets where the stream begins; a gap before a later one becomes zeros.

        Raises:
            ValueError: The block begins before the end of the previous one, so its index is wrong.
        """
        if self._first is None:
            self._first = block.start
            self._ring.end = block.start
        gap = block.start - self._ring.end
        if gap < 0:
            raise ValueError(f"a microphone block begins at sample {block.start}, {-gap} before the last one ends")
        if gap:
            self._lost += gap
            silence: Pcm = np.zeros(min(gap, self._ring.capacity), np.int16)
            self._ring.end = block.start - len(silence)
            self._ring.append(silence)
        self._ring.append(block.samples)

    def read(self, start: SampleIndex, stop: SampleIndex) -> Pcm:
        """Return a copy of the samples from ``start`` up to, not including, ``stop``.

        Raises:
            IndexError: Some of them are no longer kept, or not captured yet.
        """
        if not self.begin <= start <= stop <= self.end:
            raise IndexError(f"samples {start} to {stop} are not within {self.begin} to {self.end}")
        return self._ring.read(start, stop - start)
