"""Latencies that a person notices. Pure: callers pass the times in."""

from enum import Enum


class Latency(Enum):
    """A latency, in milliseconds."""

    WAKE_TO_LIGHT = "wake_to_light"
    """From the capture of the wake word's last sample to the change of the light."""
    WAKE_TO_LINK_OPEN = "wake_to_link_open"
    """From the wake word's last sample, or the press, to the service's answer to the set-up."""
    SPEECH_TO_ANSWER = "speech_to_answer"
    """From the end of speech, as far as it is known here, to the first audible sample of the answer."""
    FIRST_REPLY_CHUNK_TO_SPEAKER = "first_reply_chunk_to_speaker"
    """From the first audio of a reply to its first audible sample."""
    VOICE_TO_DUCK = "voice_to_duck"
    """From the capture of a voice's first sample over a reply to the order that the reply is ducked."""
    VOICE_TO_PAUSE = "voice_to_pause"
    """From the capture of a voice's first sample over a reply to the last audible sample before a pause."""
    INTERRUPT_TO_SILENCE = "interrupt_to_silence"
    """From the moment that the interruption is known here to the last audible sample of the old reply."""


class Stopwatch:
    """Measures latencies; keeps the last ``bound`` of each kind."""

    def __init__(self, bound: int = 1000) -> None:
        self._bound = bound
        self._began: dict[Latency, float] = {}
        self._durations: dict[Latency, list[float]] = {latency: [] for latency in Latency}

    def begin(self, latency: Latency, at: float) -> None:
        """Start or restart at ``at`` seconds."""
        self._began[latency] = at

    def runs(self, latency: Latency) -> bool:
        """Return whether it has begun and not ended."""
        return latency in self._began

    def end(self, latency: Latency, at: float) -> float | None:
        """Return the milliseconds since `begin` and keep them; None if it was not begun."""
        began = self._began.pop(latency, None)
        if began is None:
            return None
        duration_ms = (at - began) * 1000
        self._durations[latency] = [*self._durations[latency], duration_ms][-self._bound :]
        return duration_ms

    def forget(self, latency: Latency) -> None:
        """Discard a `begin` that will have no `end`."""
        self._began.pop(latency, None)

    def durations_ms(self, latency: Latency) -> tuple[float, ...]:
        """Return all durations of a kind, oldest first."""
        return tuple(self._durations[latency])
