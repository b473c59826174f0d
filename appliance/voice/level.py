"""A voice detector by loudness alone: for devices without the ONNX runtime, and for sounds that are no real speech."""

from math import exp
from typing import Final

from appliance.audio.level import rms_dbfs
from appliance.units import Pcm, SampleIndex
from appliance.voice.ports import WINDOW_S, SpeechProbability
from appliance.voice.windows import WindowCutter

ABOVE_NOISE_DB: Final = 15.0
AT_LEAST_DBFS: Final = -55.0
"""Sound as loud as the greater of these two has the probability 0.5."""
_STEP_DB: Final = 2.0
"""Increase in level that makes the odds e times as great."""
_RISE_DB: Final = 3.0 * WINDOW_S
"""Fastest rise of the noise level that is followed, 3 dB a second; a fall is followed at once."""
_LEAST_NOISE_DBFS: Final = AT_LEAST_DBFS - ABOVE_NOISE_DB
"""Lowest noise level that is taken note of: after digital silence, the room is not speech."""


class LevelVoiceDetector:
    """A `VoiceDetector` that takes for speech what is much louder than the room.

    The level of the room is the quietest of the last seconds, and outlasts a gap.
    """

    def __init__(self) -> None:
        self._windows = WindowCutter()
        self._noise: float | None = None

    def feed(self, start: SampleIndex, samples: Pcm) -> list[SpeechProbability]:
        """See `VoiceDetector.feed`; raises nothing."""
        return [SpeechProbability(end, self._probability(window)) for end, window in self._windows.cut(start, samples)]

    def _probability(self, window: Pcm) -> float:
        level = rms_dbfs(window)
        self._noise = level if self._noise is None else min(level, self._noise + _RISE_DB)
        self._noise = max(self._noise, _LEAST_NOISE_DBFS)
        return _logistic((level - max(self._noise + ABOVE_NOISE_DB, AT_LEAST_DBFS)) / _STEP_DB)


def _logistic(log_odds: float) -> float:
    return 1 / (1 + exp(-log_odds))
