"""Smooth time of the samples of a stream, from the rough times that its card gives. Pure; one thread.

A Kalman filter of two states, the offset and the drift of the card's clock. A card's times are late by chance and early
hardly ever: a thread that waits for the processor. So one low residual speaks for each half second.
"""

from collections import deque
from typing import Final

from appliance.units import Hz, Seconds

JUMP_S: Final = 0.004
"""Times that are wrong by more than this, one after the other, mean that samples were lost or added; with a card whose
times go up and down by more, it takes more."""
_SLOT_S: Final = 0.5
_LOW: Final = 0.2
"""Quantile of the residuals in a slot that speaks for it."""
_HIGH: Final = 0.9
_SPREAD: Final = 0.05
"""Share of the residuals' spread by which the one that speaks for a slot may be wrong."""
IN_A_ROW: Final = 8
"""Times that a jump takes to be believed."""
_JITTER_S: Final = 1e-4
_DRIFT: Final = 1e-4
"""Standard deviation of the drift of cards: 100 ppm."""
MAX_DRIFT: Final = 3e-4
"""Largest drift that is believed: 300 ppm."""
_DRIFT_NOISE: Final = 1e-14
"""Variance that the drift gains in a second, with temperature: 6 ppm in an hour."""


class StreamClock:
    """Line through (count of samples, time); a jump in time starts another line with the same slope."""

    def __init__(self, rate_hz: Hz) -> None:
        self._rate_hz = rate_hz
        self._count, self._at = 0, 0.0
        self._drift = 0.0
        self._variance = [1.0, 0.0, _DRIFT**2]
        self._jitter = _JITTER_S**2
        self._jump_s = JUMP_S
        self._slot: list[float] = []
        self._slot_from: int | None = None
        self._off: deque[float] = deque(maxlen=IN_A_ROW)
        """The newest residuals, as far as they show a jump."""
        self._is_started = False

    @property
    def ppm(self) -> float:
        """Drift of the clock against its nominal rate, in parts in a million."""
        return self._drift * 1e6

    def time_of(self, count: float) -> Seconds:
        """Return when sample number ``count`` was captured or is heard."""
        return Seconds(self._at + (count - self._count) / self._rate_hz * (1 - self._drift))

    def count_at(self, at: float) -> float:
        """Return the number of the sample at a time; need not be whole."""
        return self._count + (at - self._at) * self._rate_hz / (1 - self._drift)

    def note(self, count: int, at: float) -> float:
        """Take one point: sample ``count`` belongs to this time. Return the jump that it shows, in seconds."""
        if not self._is_started:
            self._is_started, self._count, self._at, self._slot_from = True, count, at, count
        residual = at - self.time_of(count)
        if abs(residual) < self._jump_s:
            self._off.clear()
        else:
            self._off.append(residual)
        if jump := self._jump():
            self._at += jump
            self._off.clear()
            self._slot.clear()
            self._slot_from = count
            return jump
        self._slot.append(residual)
        if self._slot_from is not None and count - self._slot_from >= _SLOT_S * self._rate_hz:
            residuals = sorted(self._slot)
            low, high = (residuals[int(len(residuals) * part)] for part in (_LOW, _HIGH))
            self._jump_s = max(JUMP_S, 0.9 * self._jump_s, 2 * (high - low))
            self._correct(count, low, high - low)
            self._slot.clear()
            self._slot_from = count
        return 0.0

    def insert(self, count: int) -> None:
        """Note that so many samples were put in before the newest one, to make up for a jump."""
        self._at -= count / self._rate_hz

    def _jump(self) -> float:
        if len(self._off) < IN_A_ROW or min(self._off) < 0 < max(self._off):
            return 0.0
        return sorted(self._off)[IN_A_ROW // 4]

    def _correct(self, count: int, residual: float, spread_s: float) -> None:
        """Take the residual that speaks for one slot, and how far they spread."""
        passed_s = (count - self._count) / self._rate_hz
        self._at, self._count = self.time_of(count), count
        offset, both, drift = self._variance
        offset += 2 * passed_s * both + passed_s**2 * drift
        both += passed_s * drift
        drift += _DRIFT_NOISE * passed_s
        expected = offset + self._jitter + (_SPREAD * spread_s) ** 2
        by_offset, by_drift = offset / expected, both / expected
        self._at += by_offset * residual
        self._drift = max(-MAX_DRIFT, min(MAX_DRIFT, self._drift - by_drift * residual))
        self._variance = [offset * (1 - by_offset), both * (1 - by_offset), drift - by_drift * both]
        for_jitter = min(residual**2, JUMP_S**2)
        self._jitter = max((_JITTER_S / 4) ** 2, self._jitter + 0.05 * (for_jitter - self._jitter))
