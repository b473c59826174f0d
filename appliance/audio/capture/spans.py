"""Stretches of microphone audio that are the person's, and where they go: the uplink's books. Loop thread only."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from appliance.audio.ports import UplinkSink
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
    """Sent samples that are to be sent once more."""
    taken_back: int
    """Repeated samples that were sent over a lost link and that its session need not know."""
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

    def bounds(self, newest: int) -> tuple[SampleIndex, SampleIndex]:
        """Return where it begins and ends; while it is open, as far as it has come."""
        return SampleIndex(self.start), SampleIndex(max(newest, self.start) if self.stop is None else self.stop)

    def skip(self, to: int) -> int:
        """Leave out what lies before a sample; return how many samples no link has had."""
        end = to if self.stop is None else min(self.stop, to)
        skipped = max(0, end - self.cursor)
        self.cursor += skipped
        return skipped


@dataclass(slots=True)
class AttachedSink:
    """An attached sink and what it has been told."""

    sink: UplinkSink
    in_activity: bool = False
    last_audio_at: float | None = None
    """When it took hands-free audio that no audio_stream_end has followed yet."""

    async def start_activity(self, span: Span) -> None:
        """Begin a push-to-talk turn; raises LinkError."""
        span.owes_end = True
        await self.sink.send_activity_start()
        self.in_activity = True

    async def end_activity(self, span: Span) -> None:
        """End it; raises LinkError."""
        await self.sink.send_activity_end()
        self.in_activity = span.owes_end = False


class Losses:
    """Counts samples that were dropped; ``on_dropped`` hears of them in sums, when `tell` is called."""

    def __init__(self, on_dropped: Callable[[int], None] | None) -> None:
        self.count = 0
        self._told = 0
        self._on_dropped = on_dropped

    def add(self, samples: int) -> None:
        """Count these."""
        self.count += samples

    def tell(self) -> None:
        """Report what is new."""
        new, self._told = self.count - self._told, self.count
        if new and self._on_dropped is not None:
            self._on_dropped(new)


def behind(spans: Iterable[Span], mode: Mode | None, samples: int, newest: int) -> int:
    """Return where the last ``samples`` that were sent of these spans begin, ``newest`` where it is none of them.

    The spans come newest first; one of another mode, and what came before it, does not count.
    """
    at = newest
    for span in spans:
        if not samples or span.mode is not mode:
            break
        taken = min(samples, max(0, span.cursor - span.start))
        samples -= taken
        at = span.cursor - taken
    return at


def beginning(spans: Iterable[Span], at: int) -> int:
    """Return where the span begins that ``at`` lies in or follows; ``at`` where there is none."""
    return max((span.start for span in spans if span.start <= at), default=at)
