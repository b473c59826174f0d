"""The microphone's way through the echo canceller: aligns what was played with what was captured, and takes it away.

The reference is what the speaker has played, after every change of volume. Both cards say when; a measured delay and
the drift between their clocks say the rest. No thread of its own, and no sound card.
"""

from collections import deque
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from appliance.audio.echo.canceller import BLOCK, EchoCanceller
from appliance.audio.echo.delay import DelayEstimator
from appliance.audio.echo.reference import PlayedReference
from appliance.audio.echo.status import EchoStatus
from appliance.audio.echo.stream_clock import StreamClock
from appliance.audio.echo.suppressor import Suppressor
from appliance.audio.ports import Block
from appliance.units import UPLINK, AudioFormat, Pcm, SampleIndex, Seconds

EARLY_S: Final = 0.01
"""The reference is given so much before its echo."""
CAPACITY_S: Final = 4.0
_MAX_PERIODS: Final = 1000
"""Periods that were played and wait for the microphone; the oldest is dropped."""
_FULL_SCALE: Final = np.float32(32_768)
_NOTHING: Final = -1


@dataclass(slots=True)
class _Delayed:
    """Samples on their way through the suppressor."""

    indices: npt.NDArray[np.int64]
    """Index of each sample; `_NOTHING` for one that was not captured."""
    linear: Pcm


class EchoPath:
    """`played` may be called on any thread, everything else on one."""

    def __init__(self, speaker: AudioFormat, suppressor: Suppressor | None = None) -> None:
        """``speaker`` is the layout of what is played, mono; without a suppressor, the linear part is all."""
        self._speaker = speaker
        self._suppressor = suppressor
        self._delay = suppressor.delay if suppressor else 0
        self._canceller = EchoCanceller()
        self._reference = PlayedReference(speaker, CAPACITY_S)
        self._microphone_clock = StreamClock(UPLINK.rate_hz)
        self._speaker_clock = StreamClock(speaker.rate_hz)
        self._estimator = DelayEstimator()
        self._periods: deque[tuple[Pcm, Seconds]] = deque(maxlen=_MAX_PERIODS)
        self._position: float | None = None
        """Frame of the reference that the next block begins with."""
        self._echo_delay_s: Seconds | None = None
        self._waiting: Pcm = np.zeros(0, np.int16)
        self._next = SampleIndex(0)
        """Index after the newest sample captured."""
        self._delayed = _Delayed(np.full(self._delay, _NOTHING, np.int64), np.zeros(self._delay, np.int16))

    @property
    def status(self) -> EchoStatus:
        """State, and figures."""
        return EchoStatus(
            self._canceller.state,
            self._canceller.erle_db,
            self._echo_delay_s,
            self._speaker_clock.ppm - self._microphone_clock.ppm,
        )

    def played(self, samples: Pcm, audible_at: Seconds) -> None:
        """Take everything that is played, silence included, in order; never blocks.

        ``audible_at`` is when the first sample is heard.
        """
        self._periods.append((samples, audible_at))

    def captured(self, block: Block) -> list[Block]:
        """Return what is ready of the samples captured so far, in order and with their own times."""
        self._take_played()
        if block.start != self._next:
            self._lose()
        end = SampleIndex(block.start + len(block.samples))
        self._microphone_clock.note(end, block.captured_at)
        samples = np.concatenate((self._waiting, block.samples))
        start, whole = end - len(samples), len(samples) // BLOCK * BLOCK
        self._waiting, self._next = samples[whole:], end
        ready = [
            self._process(start + at, samples[at : at + BLOCK], np.arange(start + at, start + at + BLOCK))
            for at in range(0, whole, BLOCK)
        ]
        return _blocks(ready, end, block.captured_at)

    def _take_played(self) -> None:
        while self._periods:
            samples, audible_at = self._periods.popleft()
            jump_s = self._speaker_clock.note(self._reference.end, audible_at)
            if jump_s > 0:
                self._reference.played(np.zeros(self._speaker.frames(jump_s), np.float32))
            self._reference.played(samples.astype(np.float32) / _FULL_SCALE)

    def _lose(self) -> None:
        """Go on after samples that never came."""
        self._waiting = self._waiting[:0]
        self._position = None

    def _process(
        self, start: int, samples: Pcm, indices: npt.NDArray[np.int64]
    ) -> tuple[npt.NDArray[np.int64], Pcm, Pcm]:
        """Return the indices, the clean and the linear samples that leave the suppressor."""
        captured = samples.astype(np.float32) / _FULL_SCALE
        reference = self._reference.read(self._advance(start), self.status.ppm)
        linear = _pcm(self._canceller.process(captured, reference))
        self._align(captured, reference)
        clean = self._suppressor.process(linear, _pcm(reference)) if self._suppressor else linear
        delayed = self._delayed
        all_indices = np.concatenate((delayed.indices, indices))
        all_linear = np.concatenate((delayed.linear, linear))
        delayed.indices, delayed.linear = all_indices[BLOCK:], all_linear[BLOCK:]
        return all_indices[:BLOCK], clean, all_linear[:BLOCK]

    def _advance(self, start: int) -> float:
        """Return the position of the reference for a block."""
        delay_s = self._echo_delay_s or 0.0
        heard_at = self._microphone_clock.time_of(start) - delay_s + EARLY_S
        wanted = self._speaker_clock.count_at(heard_at)
        if self._position is None or abs(wanted - self._position) > self._speaker.frames(0.002):
            self._position = wanted
        position = self._position + 0.02 * (wanted - self._position)
        self._position = position + self._speaker.frames(0.01) * (1 + self.status.ppm * 1e-6)
        return position

    def _align(self, captured: npt.NDArray[np.float32], reference: npt.NDArray[np.float32]) -> None:
        lag_s = self._estimator.feed(captured, reference)
        if lag_s is None:
            return
        blocks = round((lag_s - EARLY_S) * UPLINK.rate_hz / BLOCK)
        self._echo_delay_s = Seconds((self._echo_delay_s or 0.0) + UPLINK.duration(blocks * BLOCK))
        if blocks:
            self._canceller.shift(blocks)
            self._estimator.restart()


def _pcm(samples: npt.NDArray[np.float32]) -> Pcm:
    scaled: Pcm = np.clip(np.rint(samples * _FULL_SCALE), -_FULL_SCALE, _FULL_SCALE - 1).astype(np.int16)
    return scaled


def _blocks(ready: list[tuple[npt.NDArray[np.int64], Pcm, Pcm]], end: int, captured_at: Seconds) -> list[Block]:
    """Return the blocks that consecutive samples make; the sample before ``end`` was captured at ``captured_at``."""
    if not ready:
        return []
    indices, clean, linear = (np.concatenate(parts) for parts in zip(*ready, strict=True))
    captured = np.flatnonzero(indices != _NOTHING)
    blocks = []
    for piece in np.split(captured, np.flatnonzero(np.diff(indices[captured]) != 1) + 1):
        if len(piece):
            first, last = int(indices[piece[0]]), int(indices[piece[-1]])
            at = Seconds(captured_at - UPLINK.duration(end - 1 - last))
            blocks.append(Block(SampleIndex(first), clean[piece], at, linear[piece]))
    return blocks
