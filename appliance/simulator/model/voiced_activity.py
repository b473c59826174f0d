"""Speech detection by a voice detector, on audio time: a service that hears voices, not loudness. Pure."""

from typing import Final

from appliance.simulator.contract.setup import DetectionSettings
from appliance.simulator.model.speech_detector import Activity, Edge
from appliance.units import Pcm, SampleIndex
from appliance.voice.ports import WINDOW, WINDOW_S, SpeechProbability, VoiceDetector

LIKELY: Final = 0.7
START_S: Final = 0.192
"""Speech of this length, in which every window is `LIKELY`, begins a turn: a low start sensitivity."""
UNLIKELY: Final = 0.35


class VoicedActivityDetector:
    """Finds the edges of speech in a stream of 16 kHz mono samples, as `SpeechDetector` does."""

    def __init__(self, settings: DetectionSettings, detector: VoiceDetector) -> None:
        self._detector = detector
        self._start_windows = round(START_S / WINDOW_S)
        self._end_windows = max(1, round(settings.silence_duration_ms / 1000 / WINDOW_S))
        self._position = 0
        self._speaking = False
        self._run = 0
        """Consecutive windows that contradict the current state."""

    def feed(self, samples: Pcm) -> list[Edge]:
        """Take any number of samples; return the edges found."""
        windows = self._detector.feed(SampleIndex(self._position), samples)
        self._position += len(samples)
        edges = (self._window(window) for window in windows)
        return [edge for edge in edges if edge is not None]

    def end_of_stream(self) -> list[Edge]:
        """End speech, if any: the stream pauses here."""
        self._run = 0
        if not self._speaking:
            return []
        self._speaking = False
        return [Edge(Activity.END, self._position)]

    def _window(self, window: SpeechProbability) -> Edge | None:
        changes = window.probability < UNLIKELY if self._speaking else window.probability >= LIKELY
        self._run = self._run + 1 if changes else 0
        if self._run < (self._end_windows if self._speaking else self._start_windows):
            return None
        begin = window.end_sample - self._run * WINDOW
        self._speaking = not self._speaking
        self._run = 0
        return Edge(Activity.START if self._speaking else Activity.END, begin)
