"""Converts the periods of a capture card to 16 kHz mono, with an index that keeps in step with time.

Finds samples that the card or the system has lost, dates the others, and measures the drift of the card's clock. Runs
on the thread that captures; knows no library.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from appliance.audio.ports import Block
from appliance.audio.resample import Quality, Resampler
from appliance.units import UPLINK, AudioFormat, Hz, Pcm, SampleIndex, Seconds

GAP_S: Final = 0.003
"""A longer gap between two pieces is a loss; the times that cards give are good to 0.1 ms."""
MIN_BLOCK: Final = UPLINK.frames(0.01)
"""Fewest samples in a block: a card may deliver a period as one large piece and one of a few frames."""
ESTIMATE_AFTER_S: Final = 60.0
"""Seconds until a drift is given: with 0.02 ms of jitter, the error is then below 1 ppm."""


@dataclass(slots=True)
class ClockDriftEstimator:
    """Drift of a card's clock, by a straight line through (time, frame)."""

    rate_hz: Hz
    _from: tuple[float, int] | None = None
    _count: int = 0
    _sums: list[float] = field(default_factory=lambda: [0.0] * 4)

    def note(self, at: float, frame: int) -> None:
        """Take one point: ``frame`` frames had passed at this time of the computer's clock."""
        if self._from is None:
            self._from = (at, frame)
        x, y = at - self._from[0], (frame - self._from[1]) / self.rate_hz
        self._count += 1
        for index, value in enumerate((x, y, x * x, x * (y - x))):
            self._sums[index] += value

    def restart(self) -> None:
        """Start over, after a jump."""
        self._from, self._count, self._sums = None, 0, [0.0] * 4

    @property
    def ppm(self) -> float:
        """Parts in a million that it is faster than nominal; 0 before `ESTIMATE_AFTER_S`."""
        if not self._count:
            return 0.0
        x, y, xx, xd = (value / self._count for value in self._sums)
        if 2 * x < ESTIMATE_AFTER_S:
            return 0.0
        return (xd - x * (y - x)) / (xx - x * x) * 1e6


class CaptureConverter:
    """Takes periods, delivers blocks; all on one thread."""

    def __init__(
        self,
        layout: AudioFormat,
        deliver: Callable[[Block], None],
        channel: int | None = None,
    ) -> None:
        """``channel``, counted from 1, is the one to use; None: all of them, mixed."""
        self._layout = layout
        self._deliver = deliver
        self._channels = slice(None) if channel is None else slice(channel - 1, channel)
        used = layout if channel is None else AudioFormat(layout.rate_hz)
        self._resampler = Resampler(used, UPLINK.rate_hz, Quality.LOW_LATENCY)
        self._clock = ClockDriftEstimator(layout.rate_hz)
        self._waiting: Pcm = np.zeros(0, np.int16)
        self._held_back_s = 0.0
        self._ended_at: Seconds | None = None
        self._taken = 0
        self._next = SampleIndex(0)
        self._lost = 0

    @property
    def captured(self) -> int:
        """Samples delivered so far."""
        return self._next - self._lost

    @property
    def lost(self) -> int:
        """Samples that never came, 16 kHz."""
        return self._lost

    @property
    def ppm(self) -> float:
        """Parts in a million that the card's clock is faster than nominal; 0 for the first minute."""
        return self._clock.ppm

    def take(self, content: bytes, started_at: Seconds | None, now: Seconds) -> None:
        """Take some interleaved int16 frames.

        ``started_at`` is when the first frame was captured; None where the card does not say. Then ``now`` dates the
        last one, and losses are not found.
        """
        frames = np.frombuffer(content, np.int16).reshape(-1, self._layout.channels)
        length_s = self._layout.duration(len(frames))
        ended_at = now
        if started_at is not None:
            ended_at = Seconds(started_at + length_s)
            self._find_loss(started_at)
            self._ended_at = ended_at
        self._taken += len(frames)
        if started_at is not None:
            self._clock.note(ended_at, self._taken)
        samples = self._resampler.feed(frames[:, self._channels])
        self._held_back_s += length_s - UPLINK.duration(len(samples))
        self._waiting = np.concatenate((self._waiting, samples))
        if len(self._waiting) >= MIN_BLOCK:
            self._deliver_block(Seconds(ended_at - self._held_back_s))

    def _deliver_block(self, captured_at: Seconds) -> None:
        start, samples = self._next, self._waiting
        self._next = SampleIndex(start + len(samples))
        self._waiting = samples[:0]
        self._deliver(Block(start, samples, captured_at))

    def _find_loss(self, started_at: Seconds) -> None:
        """Skip the indices of samples that are missing."""
        if self._ended_at is None or started_at - self._ended_at <= GAP_S:
            return
        if len(self._waiting):
            self._deliver_block(Seconds(self._ended_at - self._held_back_s))
        lost = UPLINK.frames(started_at - self._ended_at)
        self._next = SampleIndex(self._next + lost)
        self._lost += lost
        self._clock.restart()
