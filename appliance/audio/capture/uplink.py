"""Sends speech to the service: every sample of a turn once and in order, even if the link is lost.

The microphone buffer holds the samples. A person's speech is a sequence of *spans* ``[start, stop)`` of the stream; one
sender works through them with a cursor that moves only when a link has taken the samples. So speech waits in place
while a link is opened or resumed, and is sent faster than real time afterwards; nothing is copied. All methods are
called on the loop's thread.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from appliance.audio.capture.microphone_buffer import MicrophoneBuffer
from appliance.audio.capture.spans import AttachedSink, LossCounter, ResumePoint, Span, UplinkCounts, start_of_newest
from appliance.audio.ports import UplinkSink
from appliance.clock import loop_time
from appliance.core.state import Gate, Mode
from appliance.errors import LinkError
from appliance.units import UPLINK, SampleIndex, Seconds

LONGEST_CHUNK_MS: Final = 100
STREAM_PAUSE_S: Final = 1.0
"""A hands-free stream that pauses longer must be closed by audio_stream_end (ai.google.dev, Live API, VAD)."""
_END_AHEAD_S: Final = 1.0
"""Latest end of a turn after the newest sample: an index far ahead would keep the microphone open."""
_SPANS_REPORTED: Final = 256


class Uplink:
    """Sends spans of the microphone buffer to the attached link.

    Bound: the buffer's capacity. When a span waits longer than that, its oldest samples are dropped and counted;
    ``on_dropped`` gets the number once the sender has caught up or the conversation is forgotten.
    """

    def __init__(
        self,
        buffer: MicrophoneBuffer,
        *,
        chunk_ms: int = 40,
        catch_up_speed: float = 4.0,
        on_dropped: Callable[[int], None] | None = None,
        on_all_sent: Callable[[], None] | None = None,
        clean_from: Callable[[], SampleIndex | None] | None = None,
    ) -> None:
        """``chunk_ms`` is at most 100; ``catch_up_speed`` is a multiple of real time, above 1.

        ``on_all_sent`` is called whenever something changes and `sending` is false. ``clean_from`` is called when the
        gate opens after a reply: it returns the first sample without echo, None while unknown; the span is held until
        then.
        """
        self._buffer = buffer
        self._chunk = UPLINK.frames(chunk_ms / 1000)
        self._longest_chunk = UPLINK.frames(LONGEST_CHUNK_MS / 1000)
        self._catch_up_hz = UPLINK.rate_hz * catch_up_speed
        self._on_all_sent = on_all_sent
        self._clean_from = clean_from
        self._gate = Gate.CLOSED
        self.may_echo = False
        """Whether the open span is held, because it may begin with the echo of a reply."""
        self._mode: Mode | None = None  # until the conversation's first span
        self._spans: deque[Span] = deque()  # unsent, oldest first; only the last can be open
        self._reported: deque[Span] = deque(maxlen=_SPANS_REPORTED)
        self._attached: AttachedSink | None = None
        self._next_audio_at = 0.0
        self._sending = 0  # samples, while a send runs
        self._taken_to = self._answered_to = 0
        self._known = ResumePoint()
        self._answering_to: int | None = None
        self._captured = self._sent = self._repeated = self._requeued = 0
        self._dropped = LossCounter(on_dropped)
        self._signal = asyncio.Event()
        self._drained = asyncio.Event()
        self._drained.set()

    # For the conversation

    def begin(self, at: SampleIndex, mode: Mode) -> None:
        """Open a span at ``at``; an open one of the same mode continues instead.

        It begins no earlier than the end of the previous span. Samples no longer in the buffer are dropped. A link has
        one mode for life: in a new mode unsent samples are dropped, and the sink is detached.
        """
        if self._mode not in {None, mode}:
            self._forget()
        self.may_echo = False
        self._mode = mode
        self._open(at, mode)
        self._changed()

    def end(self, at: SampleIndex) -> None:
        """Close the open span before ``at``, or after the samples already sent if those go further.

        ``at`` may lie up to a second ahead of the newest sample: the span continues until then.
        """
        self._close(min(at, self._buffer.end + UPLINK.frames(_END_AHEAD_S)))
        self._changed()

    def set_gate(self, gate: Gate) -> None:
        """Apply the gate; the same one again changes nothing.

        CLOSED closes an open span at the newest sample. HOLD and OPEN open one there if none is open, hands-free only:
        a push-to-talk turn, and the first of a conversation, need a `begin`. The gate holds back the open span; closed
        ones are always sent.
        """
        self._gate = gate
        if gate is Gate.CLOSED:
            self._close(self._buffer.end)
        elif self._mode is Mode.HANDS_FREE and self._opened is None:
            self._open(self._buffer.end, self._mode)
            self.may_echo = self._clean_from is not None
            self._skip_echo()
        self._changed()

    def drop_unsent(self) -> None:
        """Close the open span at the newest sample, and drop all samples that no link has taken yet."""
        self._close(self._buffer.end)
        for span in self._spans:
            if span.stop is not None:
                self._dropped.add(span.stop - span.cursor)
                span.stop = span.cursor  # if the link is lost now, its turn ended there
        self._spans.clear()
        self._dropped.report()
        self._changed()

    def reset(self) -> None:
        """Forget the conversation: drop unsent samples, detach the sink, close the gate.

        Call it before the first `begin` of the next conversation; until then the tail may still be sent.
        """
        self._forget()
        self._reported.clear()
        self._mode = None
        self._gate = Gate.CLOSED
        self._changed()

    @property
    def sending(self) -> bool:
        """Whether samples are being sent to a link, or would be once the gate is closed."""
        span = self._spans[-1] if self._spans else None
        newest = span is not None and span.cursor < (self._buffer.end if span.stop is None else span.stop)
        return bool(self._sending or (self._attached is not None and (len(self._spans) > 1 or newest)))

    @property
    def counts(self) -> UplinkCounts:
        """Samples captured, sent and dropped since the start, and the spans of this conversation."""
        end = self._buffer.end
        opened = self._opened
        return UplinkCounts(
            captured=self._captured + (max(end - opened.start, 0) if opened else 0),
            sent=self._sent,
            repeated=self._repeated,
            requeued=self._requeued,
            dropped=self._dropped.count,
            spans=tuple(span.bounds(end) for span in self._reported),
        )

    # For the link

    def attach(self, sink: UplinkSink) -> None:
        """Send to this link from now on, in place of an earlier one.

        Its sends must end, at least with LinkError, once the link is closed: the sender waits for the one that runs.
        """
        self._attached = AttachedSink(sink)
        self._changed()

    def detach(self, sink: UplinkSink | None = None) -> None:
        """Stop sending; given a sink, only if it is still the attached one. Unsent samples wait for the next link."""
        if sink is None or (self._attached is not None and self._attached.sink is sink):
            self._attached = None
        self._changed()

    def answering(self, undelivered: int = 0) -> None:
        """Note that a reply answers the samples sent so far, except the newest ``undelivered`` and those being sent."""
        self._answering_to = self._behind(undelivered + self._sending)

    def nothing_said(self) -> None:
        """Note that nobody has spoken since the samples being answered: the later ones need no reply."""
        if self._answering_to is not None:
            self._answering_to = self._buffer.end

    def answered(self) -> None:
        """Note that those samples, or all if none were marked, have their reply: `resend_turn` goes back no further."""
        self._answered_to = self._taken_to if self._answering_to is None else self._answering_to
        self._known.answered(self._answered_to)
        self._answering_to = None

    def resend_turn(self, newest_s: Seconds | None = None) -> Seconds:
        """Send the samples since the last reply again, before unsent ones; return how long that takes.

        It goes back to the oldest sample in the buffer, or by ``newest_s``. A push-to-talk turn is sent with its start
        and end again.
        """
        self._answering_to = None
        newest = 0 if newest_s is None else self._buffer.end - UPLINK.frames(newest_s)
        return self._go_back(max(self._answered_to, newest))

    def handle_came(self, unknown: int) -> None:
        """Note a resumption handle, which covers everything sent except the newest ``unknown`` samples."""
        self._known.handle_came(self._behind(unknown), loop_time())

    def requeue(self, samples: int, *, to_handle: bool = False) -> Seconds:
        """Detach a lost link; repeat its last ``samples``, and those being sent; return how long that takes.

        With ``to_handle``, repeat everything since the newest handle: a resumed session knows nothing later, even if
        TCP has acknowledged it. A push-to-talk turn that is unknown in part is repeated as a whole.
        """
        self._attached = None
        at = max(self._behind(samples + self._sending), self._answered_to)
        if to_handle and self._known.to is not None:
            at = min(at, self._known.to)
            if self._mode is Mode.PUSH_TO_TALK:
                begin = max((span.start for span in self._reported if span.start <= at), default=at)
                at = max(begin, self._answered_to)
        before = self._repeated
        takes_s = self._go_back(at)
        self._requeued += self._repeated - before
        return takes_s

    def _behind(self, samples: int) -> int:
        return start_of_newest(reversed(self._reported), self._mode, samples, self._taken_to)

    def _go_back(self, behind: int) -> Seconds:
        behind = max(behind, self._buffer.begin)
        for span in reversed(self._reported):
            if span.mode is not self._mode or (span.stop is not None and span.stop <= behind):
                break
            if span not in self._spans:
                self._spans.appendleft(span)
        before = self._repeated
        for span in self._spans:
            self._repeated += max(0, span.cursor - max(span.start, behind))
            span.cursor = min(span.cursor, max(span.start, behind))
        self._changed()
        return Seconds((self._repeated - before) / self._catch_up_hz)

    async def drained(self) -> None:
        """Return once all closed spans have been sent, or no sink is attached."""
        await self._drained.wait()

    def notify(self) -> None:
        """Note that the buffer has new samples; the sender wakes when they fill a chunk."""
        self._skip_echo()
        if self._spans and self._due(self._spans[0]):
            self._signal.set()

    async def run(self) -> None:
        """Send until cancelled. A LinkError only detaches its sink: the link's receiver reports the loss."""
        while True:
            self._signal.clear()
            attached = self._attached
            if attached is None:
                await self._wait()
                continue
            try:
                await self._advance(attached)
            except LinkError:
                self.detach(attached.sink)

    async def _advance(self, attached: AttachedSink) -> None:
        """Send the next thing, or wait for a change."""
        if not self._spans:
            await self._pause(attached)
            return
        span = self._spans[0]
        self._skip_overwritten(span)
        if span.cursor == span.stop:
            await self._finish(attached, span)
            return
        size = self._due(span)
        if not size:
            await self._wait()
        elif span.mode is Mode.PUSH_TO_TALK and not attached.in_activity:
            await attached.start_activity(span)
        elif loop_time() < self._next_audio_at:
            await self._wait(self._next_audio_at)
        else:
            await self._send(attached, span, size)

    async def _pause(self, attached: AttachedSink) -> None:
        """Send audio_stream_end once when a hands-free stream pauses."""
        due = None if attached.last_audio_at is None else attached.last_audio_at + STREAM_PAUSE_S
        if due is None or loop_time() < due:
            await self._wait(due)
            return
        await attached.sink.send_audio_stream_end()
        attached.last_audio_at = None

    async def _finish(self, attached: AttachedSink, span: Span) -> None:
        """End the activity of a span that was sent, then forget the span.

        A link that came after the last sample gets an empty activity, so that the service knows that the turn is over.
        """
        if not span.needs_end:
            self._spans.popleft()
            self._changed()
        elif not attached.in_activity:
            await attached.start_activity(span)
        else:
            await attached.end_activity(span)

    async def _send(self, attached: AttachedSink, span: Span, size: int) -> None:
        """Send ``size`` samples; if the link fails they stay unsent, or are dropped if their span was meanwhile."""
        loop = asyncio.get_running_loop()
        samples = self._buffer.read(SampleIndex(span.cursor), SampleIndex(span.cursor + size))
        self._next_audio_at = loop.time() + size / self._catch_up_hz
        taken_to = span.cursor = self._taken_to = span.cursor + size
        self._sending = size
        try:
            await attached.sink.send_audio(samples.astype("<i2", copy=False).tobytes())
        except LinkError:
            if span.cursor < taken_to:
                self._repeated -= size  # they are queued again already
            elif span in self._spans:
                span.cursor = self._taken_to = taken_to - size
            else:
                self._dropped.add(size)
            raise
        finally:
            self._sending = 0
            self._changed()
        self._sent += size
        self._known.sent(taken_to - size, Seconds(loop.time()))
        if size < self._longest_chunk:
            self._dropped.report()
        if span.mode is Mode.HANDS_FREE:
            attached.last_audio_at = loop.time()

    def _due(self, span: Span) -> int:
        """Return the number of samples to send next; 0 for none yet."""
        if span.stop is None and (self._gate is not Gate.OPEN or self.may_echo):
            return 0
        end = self._buffer.end if span.stop is None else min(span.stop, self._buffer.end)
        waiting = end - span.cursor
        if waiting >= 2 * self._chunk:
            return min(waiting, self._longest_chunk)
        if waiting >= self._chunk:
            return self._chunk
        return waiting if end == span.stop else 0

    @property
    def _opened(self) -> Span | None:
        return self._spans[-1] if self._spans and self._spans[-1].stop is None else None

    def _open(self, at: int, mode: Mode) -> None:
        if self._opened is not None:
            return
        before = self._spans[-1].stop if self._spans else None
        start = max(at, self._taken_to if before is None else before)
        span = Span(start, mode, cursor=start)
        self._spans.append(span)
        self._reported.append(span)
        self._skip_overwritten(span)

    def _skip_echo(self) -> None:
        """Move the start of the open span behind the echo of a reply, once its end is known."""
        span = self._opened if self.may_echo else None
        clean_from = self._clean_from() if span and self._clean_from else None
        if span is not None and clean_from is not None:
            self.may_echo = False
            span.start = span.cursor = max(span.cursor, clean_from)

    def _close(self, at: int) -> None:
        span = self._opened
        if span is None:
            return
        span.stop = span.cursor if self.may_echo else max(at, span.cursor)
        self.may_echo = False
        self._captured += span.stop - span.start
        if span.stop == span.start and not span.needs_end:
            self._spans.pop()
            self._reported.pop()

    def _forget(self) -> None:
        """Drop unsent samples; later ones wait for another link."""
        self.drop_unsent()
        self._attached = None

    def _skip_overwritten(self, span: Span) -> None:
        """Move the cursor to the oldest sample in the buffer."""
        self._dropped.add(span.skip(self._buffer.begin))

    def _changed(self) -> None:
        """Wake the sender, and whoever waits in `drained`."""
        self._signal.set()
        if self._attached is not None and self._spans and self._spans[0].stop is not None:
            self._drained.clear()
        else:
            self._drained.set()
        if self._on_all_sent is not None and not self.sending:
            self._on_all_sent()

    async def _wait(self, until: float | None = None) -> None:
        """Wait until something changes, at most until this loop time."""
        with suppress(TimeoutError):
            async with asyncio.timeout_at(until):
                await self._signal.wait()
