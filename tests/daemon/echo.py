"""A loudspeaker that the microphone hears, later than its driver says."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from appliance.units import REPLY, UPLINK, Pcm
from tests.support.simulated_home import Home

_REVERBERATION_S: Final = 0.4
"""Until an echo is down by 60 dB."""


@dataclass
class Echo:
    """What is played, ``delay_s`` later and at ``level_db``, with some reverberation; call it with a moment."""

    home: Home
    delay_s: float
    level_db: float
    taps: int = 40
    """Of the reverberation."""

    def __post_init__(self) -> None:
        random = np.random.default_rng(11)
        later_s = np.sort(random.uniform(0.002, _REVERBERATION_S, self.taps))
        gains = random.normal(0, 0.2, self.taps) * 10 ** (-3 * later_s / _REVERBERATION_S)
        self._taps = [(0.0, 1.0), *zip(later_s, gains, strict=True)]
        self._gain = 10 ** (self.level_db / 20)
        self._cut_off = np.hanning(9) / np.hanning(9).sum()

    def __call__(self, begin: float, frames: int) -> Pcm:
        speaker = self.home.speaker
        out = np.zeros(frames)
        for tap_s, gain in self._taps if speaker.begun_at else ():
            out += gain * self._at(begin - self.delay_s - tap_s, frames)
        return (out * self._gain).astype(np.int16)

    def _at(self, begin: float, frames: int) -> npt.NDArray[np.float64]:
        """What is played from a moment on, at 16 kHz."""
        speaker = self.home.speaker
        first = (begin - speaker.begun_at[0]) * REPLY.rate_hz
        wanted = first + np.arange(frames) * REPLY.rate_hz / UPLINK.rate_hz
        period = max(0, int(first // speaker.FRAMES))
        played = speaker.periods(period, period + 3).astype(np.float64)
        smooth = np.convolve(played, self._cut_off, "same") if len(played) else np.zeros(1)
        return np.interp(wanted - period * speaker.FRAMES, np.arange(len(smooth)), smooth, left=0, right=0)
