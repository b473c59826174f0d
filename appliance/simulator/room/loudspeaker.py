"""A loudspeaker with its own clock: late, drifting, and clipped where it is too loud. Pure; one thread."""

from typing import Final

import numpy as np
import numpy.typing as npt

from appliance.simulator.room.acoustics import BLOCK, Sound
from appliance.units import UPLINK, AudioFormat, Pcm, Seconds

KEPT_S: Final = 4.0
"""Audio that waits to be heard, and a little that was; older is overwritten."""
_HALF: Final = 32
"""Frames on each side of a place that its sample is made of."""
_CUT_OFF: Final = 0.95
"""Share of the microphone's bandwidth that is passed."""
_KNEE: Final = 4.0
_FULL_SCALE: Final = 32_768


class Loudspeaker:
    """Plays frames at its own rate; is heard `BLOCK` samples at a time at the microphone's.

    Args:
        layout: Mono, at the speaker's rate.
        ppm: How much faster than the microphone's its clock is, in parts in a million.
        delay_s: How much later than its driver says it is heard.
        clips_at: Amplitude that it cannot exceed, 1 being full scale; it bends gently towards it.
    """

    def __init__(self, layout: AudioFormat, ppm: float, delay_s: float, clips_at: float) -> None:
        self._rate_hz = layout.rate_hz * (1 + ppm * 1e-6)
        self._clips_at = clips_at
        self.delay_s = delay_s
        """May be changed at any time: a jump."""
        self._frames = np.zeros(layout.frames(KEPT_S))
        self._end = 0
        self._begun_at: float | None = None

    def played(self, frames: Pcm, audible_at: Seconds) -> None:
        """Append frames, the first of which is heard at a time by the driver's account.

        Frames follow one another without a gap, and only the first time counts; where a later one is further than
        50 ms from where its frames are, the speaker has stopped and begun again: silence was heard in between.
        """
        if self._begun_at is None:
            self._begun_at = audible_at
        gap = round((audible_at - self._begun_at) * self._rate_hz) - self._end
        if gap > 0.05 * self._rate_hz:
            self._append(np.zeros(min(gap, len(self._frames))), gap)
        clean = frames / _FULL_SCALE
        self._append(clean / (1 + np.abs(clean / self._clips_at) ** _KNEE) ** (1 / _KNEE), len(frames))

    def heard(self, begin: Seconds) -> npt.NDArray[np.float64]:
        """Return the block that begins at a time, at the microphone's rate; silence where nothing is (yet) played."""
        if self._begun_at is None:
            return np.zeros(BLOCK)
        step = self._rate_hz / UPLINK.rate_hz
        places = (begin - self.delay_s - self._begun_at) * self._rate_hz + np.arange(BLOCK) * step
        whole = np.floor(places).astype(np.int64)
        wanted = whole[:, np.newaxis] + np.arange(1 - _HALF, 1 + _HALF)
        kept = (wanted < self._end) & (wanted >= max(0, self._end - len(self._frames)))
        frames = np.where(kept, self._frames[wanted % len(self._frames)], 0.0)
        if not frames.any():
            return np.zeros(BLOCK)
        cut_off = _CUT_OFF * min(1.0, 1 / step)
        offsets = places[:, np.newaxis] - wanted
        window = np.cos(np.pi * offsets / (2 * _HALF + 2)) ** 2
        return np.asarray(np.sum(frames * window * cut_off * np.sinc(cut_off * offsets), axis=1))

    def _append(self, frames: Sound, count: int) -> None:
        self._end += count
        newest = frames[-len(self._frames) :]
        self._frames[np.arange(self._end - len(newest), self._end) % len(self._frames)] = newest
