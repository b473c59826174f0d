"""Stretches of microphone audio that are the person's: the uplink's bookkeeping. Loop thread only."""

from dataclasses import dataclass

from appliance.core.state import Mode
from appliance.units import SampleIndex


@dataclass(frozen=True, slots=True)
class UplinkCounts:
    """Samples so far; captured and repeated ones together are those sent, those dropped and those that still wait."""

    captured: int
    """In spans."""
    sent: int
    """Taken by a link."""
    repeated: int
    """Of those, to be sent once more."""
    dropped: int
    """Overwritten before a link took them, or dropped or forgotten with the conversation."""
    spans: tuple[tuple[SampleIndex, SampleIndex], ...]
    """The newest spans since `Uplink.reset`, 256 at most; an open one as far as it has come."""


@dataclass(slots=True, eq=False)
class Span:
    """Samples ``[start, stop)`` of the stream."""

    start: int
    mode: Mode
    cursor: int
    """The next sample that no link has; samples on their way to one count as taken until it fails."""
    stop: int | None = None
    """None while the span is open; may lie ahead of the newest sample."""
    owes_end: bool = False
    """activity_start was sent for it, or is being sent, and no link has taken activity_end yet."""
