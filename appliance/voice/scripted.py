"""A voice detector that finds speech where a script says: for tests, the simulator and demonstrations."""

from collections.abc import Iterable

from appliance.units import Pcm, SampleIndex
from appliance.voice.ports import SpeechProbability
from appliance.voice.windows import WindowCutter


class ScriptedVoiceDetector:
    """A `VoiceDetector` by a list of stretches, each from a sample to just before another.

    The probability of a window that ends within a stretch, or with it, is 1; of all others 0.
    """

    def __init__(self, speech: Iterable[tuple[int, int]]) -> None:
        self._speech = tuple(speech)
        self._windows = WindowCutter()

    def feed(self, start: SampleIndex, samples: Pcm) -> list[SpeechProbability]:
        """See `VoiceDetector.feed`; raises nothing."""
        return [SpeechProbability(end, self._probability(end)) for end, _ in self._windows.cut(start, samples)]

    def _probability(self, end: SampleIndex) -> float:
        return float(any(begins < end <= ends for begins, ends in self._speech))
