"""How long the moments took that a household feels; pure: whoever has a clock passes the times in."""

from enum import Enum


class Latency(Enum):
    """From one moment to another, in milliseconds."""

    WAKE_TO_LIGHT = "wake_to_light"
    """The wake word's last sample was captured, until the light changed."""
    WAKE_TO_LINK_OPEN = "wake_to_link_open"
    """The same, or the press, until the service had answered the set-up."""
    SPEECH_TO_ANSWER = "speech_to_answer"
    """The person had stopped speaking, as far as it is known here, until the answer could be heard."""
    FIRST_REPLY_CHUNK_TO_SPEAKER = "first_reply_chunk_to_speaker"
    """The first audio of a reply was received, until its first sample could be heard."""
    INTERRUPT_TO_SILENCE = "interrupt_to_silence"
    """The interruption was known here, until the last sample of the old reply had been heard."""


class Stopwatch:
    """Collects durations; the last ``bound`` of each kind are kept."""

    def __init__(self, bound: int = 1000) -> None:
        self._bound = bound
        self._began: dict[Latency, float] = {}
        self._taken: dict[Latency, list[float]] = {latency: [] for latency in Latency}

    def begin(self, latency: Latency, at: float) -> None:
        """Start anew at ``at`` seconds."""
        self._began[latency] = at

    def runs(self, latency: Latency) -> bool:
        """Return whether it was begun and has not ended."""
        return latency in self._began

    def end(self, latency: Latency, at: float) -> float | None:
        """Return the milliseconds since `begin`; None, and nothing is kept, where it was not begun."""
        began = self._began.pop(latency, None)
        if began is None:
            return None
        taken_ms = (at - began) * 1000
        self._taken[latency] = [*self._taken[latency], taken_ms][-self._bound :]
        return taken_ms

    def forget(self, latency: Latency) -> None:
        """Drop a `begin` that will not be ended."""
        self._began.pop(latency, None)

    def taken_ms(self, latency: Latency) -> tuple[float, ...]:
        """Return all durations of a kind, oldest first."""
        return tuple(self._taken[latency])
