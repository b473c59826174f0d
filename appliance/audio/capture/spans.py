"""Spans of microphone audio, the sink that they go to, and how much a session surely knows: the uplink's records.

Loop thread only; times are monotonic.
"""

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from appliance.audio.ports import UplinkSink
from appliance.core.state import Mode
from appliance.units import SampleIndex, Seconds

MARGIN_S: Final = 0.5
"""Age below which sent audio does not count as covered by a handle: it may have been in transit, in a relay or in the
service, when the handle was made. Sending it twice is better than losing it."""
_CHUNKS: Final = 128
"""More than can be sent within the margin."""


@dataclass(frozen=True, slots=True)
class UplinkCounts:
    """Samples so far: captured + repeated = sent + dropped + still waiting."""

    captured: int
    """Samples in spans."""
    sent: int
    """Taken by a link."""
    repeated: int
    """Sent samples that are sent again."""
    requeued: int
    """Repeated samples that were sent over a lost link, and that its session may not have."""
    dropped: int
    """Overwritten before a link took them, or dropped or forgotten with the conversation."""
    spans: tuple[tuple[SampleIndex, SampleIndex], ...]
    """The newest spans since `Uplink.reset`, 256 at most; an open one up to the newest sample."""


@dataclass(slots=True, eq=False)
class Span:
    """Samples ``[start, stop)`` of the stream."""

    start: int
    mode: Mode
    cursor: int
    """The next sample that no link has; samples being sent count as taken unless sending fails."""
    stop: int | None = None
    """None while the span is open; may lie ahead of the newest sample."""
    needs_end: bool = False
    """Whether activity_start was sent for it, or is being sent, and no link has taken activity_end yet."""

    def bounds(self, newest: int) -> tuple[SampleIndex, SampleIndex]:
        """Return its begin and end; while it is open, it ends at the newest sample."""
        return SampleIndex(self.start), SampleIndex(max(newest, self.start) if self.stop is None else self.stop)

    def skip(self, to: int) -> int:
        """Skip the samples before ``to``; return how many of them no link has had."""
        end = to if self.stop is None else min(self.stop, to)
        skipped = max(0, end - self.cursor)
        self.cursor += skipped
        return skipped


@dataclass(slots=True)
class AttachedSink:
    """An attached sink, and what was sent to it."""

    sink: UplinkSink
    in_activity: bool = False
    last_audio_at: float | None = None
    """When it took hands-free audio that no audio_stream_end has followed yet."""

    async def start_activity(self, span: Span) -> None:
        """Begin a push-to-talk turn; raises LinkError."""
        span.needs_end = True
        await self.sink.send_activity_start()
        self.in_activity = True

    async def end_activity(self, span: Span) -> None:
        """End the turn; raises LinkError."""
        await self.sink.send_activity_end()
        self.in_activity = span.needs_end = False


class LossCounter:
    """Counts dropped samples; `report` passes the new ones to ``on_dropped``."""

    def __init__(self, on_dropped: Callable[[int], None] | None) -> None:
        self.count = 0
        self._reported = 0
        self._on_dropped = on_dropped

    def add(self, samples: int) -> None:
        """Count samples."""
        self.count += samples

    def report(self) -> None:
        """Report the samples since the last report."""
        new, self._reported = self.count - self._reported, self.count
        if new and self._on_dropped is not None:
            self._on_dropped(new)


class ResumePoint:
    """End of the audio that a session surely knows when resumed: covered by its newest handle, or replied to."""

    def __init__(self) -> None:
        self.to: int | None = None
        """The first sample that the session may not know; None before the first handle."""
        self._recent: deque[tuple[Seconds, int]] = deque(maxlen=_CHUNKS)

    def sent(self, begin: int, now: Seconds) -> None:
        """Note a sent chunk that begins at this sample."""
        self._recent.append((now, begin))

    def handle_came(self, delivered_to: int, now: Seconds) -> None:
        """Note a new handle; samples from ``delivered_to`` on may not have arrived."""
        self.to = min([delivered_to, *(begin for at, begin in self._recent if at > now - MARGIN_S)])

    def answered(self, to: int) -> None:
        """Note that samples before ``to`` have their reply, so that they are not sent again for an older handle."""
        if self.to is not None:
            self.to = max(self.to, to)


def start_of_newest(spans: Iterable[Span], mode: Mode | None, samples: int, newest: int) -> int:
    """Return where the last ``samples`` that were sent of these spans begin; ``newest`` if none of them was.

    The spans come newest first; a span of another mode, and those before it, do not count.
    """
    at = newest
    for span in spans:
        if not samples or span.mode is not mode:
            break
        taken = min(samples, max(0, span.cursor - span.start))
        samples -= taken
        at = span.cursor - taken
    return at
