"""A loudspeaker that the microphone hears, later than its driver says."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from appliance.units import REPLY, UPLINK, Pcm
from tests.support.simulated_home import Home

_REVERBERATION_S: Final = 0.4
"""Until an echo is down by 60 dB."""


@dataclass
class Echo:
    """Echo of the playback, ``delay_s`` later and at ``level_db``, with some reverberation; call it with a moment."""

    home: Home
    delay_s: float
    level_db: float
    taps: int = 40
    """Reflections in the reverberation."""

    def __post_init__(self) -> None:
        random = np.random.default_rng(11)
        later_s = np.sort(random.uniform(0.002, _REVERBERATION_S, self.taps))
        gains = random.normal(0, 0.2, self.taps) * 10 ** (-3 * later_s / _REVERBERATION_S)
        self._later = np.array([0.0, *later_s]) * REPLY.rate_hz
        self._gains = np.array([1.0, *gains]) * 10 ** (self.level_db / 20)
        self._cut_off = np.hanning(9) / np.hanning(9).sum()

    def __call__(self, begin: float, frames: int) -> Pcm:
        speaker = self.home.speaker
        out = np.zeros(frames, np.int16)
        if not speaker.begun_at:
            return out
        first = (begin - self.delay_s - speaker.begun_at[0]) * REPLY.rate_hz
        wanted = first + np.arange(frames) * REPLY.rate_hz / UPLINK.rate_hz
        period = max(0, int((first - self._later[-1]) // speaker.FRAMES))
        played = speaker.periods(period, int(wanted[-1] // speaker.FRAMES) + 2).astype(np.float64)
        if not played.any():
            return out
        smooth = np.convolve(played, self._cut_off, "same")
        at = wanted - period * speaker.FRAMES - self._later[:, np.newaxis]
        heard = np.interp(at, np.arange(len(smooth)), smooth, left=0, right=0)
        return np.asarray(self._gains @ heard).astype(np.int16)
