"""A voice detector that always works: by loudness, where the better one cannot be loaded or has failed."""

from collections.abc import Callable

from appliance import log
from appliance.errors import LocalModelError
from appliance.units import Pcm, SampleIndex
from appliance.voice.level import LevelVoiceDetector
from appliance.voice.ports import SpeechProbability, VoiceDetector


class FallbackVoiceDetector:
    """A `VoiceDetector` that goes on with a `LevelVoiceDetector`, with one log line, when the better one fails."""

    def __init__(self, load: Callable[[], VoiceDetector]) -> None:
        """``load`` makes the better detector, or raises LocalModelError."""
        self._detector: VoiceDetector
        try:
            self._detector = load()
        except LocalModelError as error:
            self._fall_back(error)

    def feed(self, start: SampleIndex, samples: Pcm) -> list[SpeechProbability]:
        """See `VoiceDetector.feed`; raises nothing."""
        try:
            return self._detector.feed(start, samples)
        except LocalModelError as error:
            return self._fall_back(error).feed(start, samples)

    def _fall_back(self, error: LocalModelError) -> VoiceDetector:
        log.event("voice.by-level", level="warning", reason=str(error))
        self._detector = LevelVoiceDetector()
        return self._detector
