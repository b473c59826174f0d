"""Keeps at most one Live link: opens, watches, swaps and closes it, and reports what happens to it.

The core decides what the household notices: whether a lost link is replaced, and whether a question is asked again.
The manager does alone what nobody notices: it tries again while a link is being opened, and swaps a connection that is
about to end.
"""

import asyncio
from contextlib import suppress
from enum import Enum
from functools import partial
from typing import Final

from appliance import log
from appliance.clock import loop_time, timeout
from appliance.core.effects import CloseLink, OpenLink, Session
from appliance.core.events import Continuity, Event, LinkDelayed, LinkFailed, LinkLost, LinkOpened, TurnRefused
from appliance.core.state import Mode
from appliance.errors import ApplianceError, LinkCause, LinkError, ProvisioningError
from appliance.live.connecting.connector import OpenedLink, trouble_of
from appliance.live.connecting.rotation import Busy, Swap
from appliance.live.messages import ToolCall
from appliance.live.model_capabilities import Feature, capabilities
from appliance.live.ports import HistorySeed, Link, Role, SeedMethod, ToolResult, Turn
from appliance.live.session import facts
from appliance.live.session.callbacks import Callbacks, Playback, SessionCounts, Uplink
from appliance.live.session.pending_messages import PendingMessages
from appliance.live.session.receiver import Dependencies, Receiver
from appliance.live.session.state import busy, rotation_due, speech_begins
from appliance.live.session.watchdogs import LatencyDriftDetector, SendStallDetector
from appliance.units import REPLY, Seconds

DRAIN_S: Final = 0.5
"""Time for a closing link to send what was captured."""
BEAT_S: Final = 0.25
"""Period of the checks of an open link."""
OVERLOOKED_S: Final = Seconds(6.0)
"""Newest speech that is sent again where the service has missed short words."""


class _Left(Enum):
    """The reason why a connection is no longer used."""

    LOST = "lost"
    SWAP = "swap"


class SessionManager:
    """Carries out the conversation's orders about links; `run` does the work.

    An order replaces the one before. The old link is closed entirely before the next is opened: the service refuses to
    resume a session whose connection is still open. Nothing is posted about a link that was ordered closed.
    """

    def __init__(
        self,
        dependencies: Dependencies,
        uplink: Uplink,
        playback: Playback,
        callbacks: Callbacks,
        *,
        report_truncation: bool = True,
    ) -> None:
        """``report_truncation``: tell the model how much of an interrupted answer was heard."""
        self._session = dependencies.session
        self._connector = dependencies.connector
        self._usage = dependencies.usage
        self._recorder = dependencies.recorder
        self._uplink = uplink
        self._callbacks = callbacks
        self._report_truncation = report_truncation
        self._playback = playback
        self._receiver = Receiver(self, dependencies, uplink, playback, callbacks)
        self._tasks = asyncio.TaskGroup()
        self._pending = PendingMessages(self._tasks, lambda call: self._take(facts.ToolAnswered(call)))
        self._latency_drift = LatencyDriftDetector()
        self._send_stall = SendStallDetector()
        self._changed = asyncio.Event()
        self._closed = asyncio.Event()
        self._closed.set()
        self._wanted: OpenLink | None = None
        self._opened: OpenedLink | None = None
        self._leaving = False
        """The link is being closed, which nothing may cut short."""
        self._stalled = False
        """Sending over this connection has stalled; it is to be swapped."""
        self._swaps = 0

    @property
    def counts(self) -> SessionCounts:
        """The counters as they stand."""
        pending, dropped_bytes = self._pending, self._session.state.dropped_bytes
        return SessionCounts(dropped_bytes, pending.results_dropped, pending.texts_dropped, self._swaps)

    # Orders

    def open(self, order: OpenLink) -> None:
        """Open a link; `LinkOpened` or `LinkFailed` follows, perhaps after `LinkDelayed`."""
        if order.session is Session.CONTINUE_IF_RECENT:
            self._take(facts.ConversationStarted())
            self._usage.begin_conversation()
            self._pending.forget()
            self._stalled = False
        self._wanted = order
        self._closed.clear()
        self._changed.set()

    def close(self, order: CloseLink) -> None:
        """Close that link, or stop opening it."""
        if self._wanted is not None and self._wanted.link == order.link:
            self._wanted = None
            self._pending.forget()
            self._connector.conversation_ended()
            self._changed.set()

    async def closed(self) -> None:
        """Wait until no link is wanted, and the last one is closed."""
        await self._closed.wait()

    def discard(self) -> None:
        """Drop what still comes of the model's turn."""
        self.truncate_reply()
        self._take(facts.ReplyDiscarded())

    def begin_speech(self, mode: Mode) -> None:
        """The person takes the turn by the wake word or the button."""
        self._take(facts.TurnTaken(mode))

    def end_speech(self) -> None:
        """The button was released: from now on an answer is due."""
        self._take(facts.TurnEnded())

    def listen(self, probability: float, duration: Seconds) -> None:
        """Take the probability that the next stretch of microphone audio is speech, while it is the person's turn."""
        self._take(facts.SpeechMeasured(probability, duration))

    def send_text(self, text: str) -> None:
        """Say something in writing, now or once the link is open; an answer is due."""
        self._recorder.add_typed(text)
        self._take(facts.TextSent(text))
        self._pending.send_text(text)

    def resend_turn(self) -> None:
        """Send again what has no answer yet."""
        self._take(facts.SpeechResent(Seconds(loop_time() + self._uplink.resend_turn())))

    def resend_unconfirmed(self) -> None:
        """Send again what may not have arrived; the person need not have finished."""
        self._take(facts.SpeechResent(Seconds(loop_time() + self._uplink.resend_turn()), finished=False))

    def forget(self) -> None:
        """Begin the next conversation without any memory of this one."""
        self._connector.forget()

    def send_tool_result(self, result: ToolResult) -> None:
        """Answer a tool call, now or once the link is open again."""
        self._pending.answer(result)

    # Work

    async def run(self) -> None:
        """Open and close links as ordered, until cancelled."""
        async with self._tasks:
            self._tasks.create_task(self._usage.run())
            while True:
                if self._wanted is not None:
                    await self._keep(self._wanted)
                else:
                    self._closed.set()
                    await self._change()

    async def _change(self) -> None:
        await self._changed.wait()
        self._changed.clear()

    async def _keep(self, order: OpenLink) -> None:
        """Serve one order until its link has ended or is no longer wanted; return when it is closed."""
        self._leaving = False
        task = self._tasks.create_task(self._serve(order))
        task.add_done_callback(lambda _: self._changed.set())
        while self._wanted is order and not task.done():
            await self._change()
        if self._opened is not None and not self._stalled:
            with suppress(TimeoutError):
                async with timeout(DRAIN_S):
                    await self._uplink.drained()
        if not self._leaving:
            task.cancel()
        await asyncio.wait([task])

    async def _serve(self, order: OpenLink) -> None:
        """Open a link and use it to its end; swap it for another as often as that is due."""
        self._connector.begin(order.session)
        cap = self._usage.stop
        if cap is not None:
            self._end(order, LinkFailed(order.link, cap))
            return
        left: _Left | None = None
        while self._wanted is order and left is not _Left.LOST:
            self._leaving = False
            try:
                async with self._connector.open(order.mode, partial(self._delayed, order, left)) as opened:
                    if self._wanted is order:
                        left = await self._use(opened, order, left)
                    self._leaving = True
                if left is _Left.SWAP:
                    self._requeue(opened.link)
            except (ProvisioningError, LinkError) as error:
                failed = LinkFailed(order.link, trouble_of(error))
                self._end(order, failed if left is None else self._loss(order, error, resumable=False), error)
                return

    async def _use(self, opened: OpenedLink, order: OpenLink, before: _Left | None) -> _Left:
        """Use an open link until it is lost or to be swapped."""
        continued = opened.continuity is not Continuity.PARTIAL
        several_turns = capabilities(opened.model).has(Feature.STATUS)
        self._opened = opened
        self._latency_drift = LatencyDriftDetector()
        self._send_stall = SendStallDetector()
        self._take(facts.ConnectionOpened(order.link, order.mode, continued, several_turns))
        self._uplink.attach(opened.link)
        self._pending.opened(opened.link, opened.continuity)
        if before is None:
            self.post(LinkOpened(order.link, opened.continuity), order)
        swapped = before is _Left.SWAP and not continued
        if (self._stalled or swapped) and not self._session.state.tool_ran:
            self.resend_unconfirmed()  # no tool is to act twice
        self._stalled = False
        reading = self._tasks.create_task(self._receiver.read(opened, order))
        try:
            return await self._attend(reading, opened, order)
        finally:
            self._opened = None
            self._take(facts.ConnectionClosed())
            self._pending.closed()
            self._uplink.detach()
            reading.cancel()
            await asyncio.wait([reading])

    async def _attend(self, reading: asyncio.Task[LinkError], opened: OpenedLink, order: OpenLink) -> _Left:
        """Check an open link until it is lost or to be swapped."""
        while True:
            await asyncio.wait([reading], timeout=BEAT_S)
            if reading.done():
                self._requeue(opened.link)
                self._report_loss(order, reading.result())
                return _Left.LOST
            if self._wanted is order and self._beat(opened, order):
                self._swaps += 1
                self._connector.swap()
                return _Left.SWAP

    def _beat(self, opened: OpenedLink, order: OpenLink) -> bool:
        """Check the link once; return whether to swap it."""
        now = loop_time()
        stalled = self._send_stall.sample(opened.link.traffic(), now)
        self._take(facts.Ticked(stalled), order)
        swap = rotation_due(self._session.state, now).swap
        if swap is Swap.FORCED and busy(self._session.state) & {Busy.MODEL, Busy.TOOL}:
            error = LinkError("the Live service is about to end the connection", LinkCause.ENDED)
            self._report_loss(order, error)
            return False
        if self._wanted is not order or (swap is Swap.LATER and not self._stalled):
            return False
        log.event("link.swap", when="stalled" if self._stalled else swap.value)
        return True

    def _requeue(self, link: Link) -> None:
        """Leave to the next link what its session may not know: all sent since the handle that it continues from.

        Once a tool has acted upon that, only what has certainly not arrived: no tool is to act twice.
        """
        self._uplink.requeue(link.undelivered(), to_handle=not self._session.state.tool_ran)

    def _delayed(self, order: OpenLink, left: _Left | None, error: ApplianceError) -> None:
        """Report a failed attempt; one to swap a link as the loss of that link, which the conversation shows."""
        if left is None:
            self._callbacks.on_error(error)
            self.post(LinkDelayed(order.link, trouble_of(error)), order)
        else:
            self._end(order, self._loss(order, error, resumable=True), error)

    def _report_loss(self, order: OpenLink, error: LinkError) -> None:
        """Report the loss of an open link, if it is wanted; the cause decides how the next attempt is made."""
        if self._wanted is order:
            self._end(order, self._loss(order, error, resumable=self._connector.lost(error)), error)

    def _loss(self, order: OpenLink, error: ApplianceError, *, resumable: bool) -> LinkLost:
        return LinkLost(order.link, resumable, trouble_of(error), speech_begins(self._session.state))

    def _end(self, order: OpenLink, event: LinkFailed | LinkLost, error: ApplianceError | None = None) -> None:
        """Report the end of a link that nobody asked for; from then on it is no longer wanted."""
        if self._wanted is order:
            self._wanted = None
            self._connector.conversation_ended()
            self._changed.set()
            if error is not None:
                self._callbacks.on_error(error)
            self._callbacks.post(event)

    def _take(self, fact: facts.Fact, order: OpenLink | None = None) -> None:
        for output in self._session.step(fact, loop_time()):
            self.execute(output, order)

    # For the receiver

    def handles(self, order: OpenLink) -> bool:
        """Return whether a handle that comes over the link of this order is of use: its session may be given up."""
        return self._wanted is None or self._wanted is order or self._wanted.session is not Session.NEW

    def wants(self, order: OpenLink) -> bool:
        """Return whether anything is to be heard of the link of this order."""
        return self._wanted is order

    def execute(self, output: facts.Output, order: OpenLink | None) -> None:  # noqa: C901  one case an output
        """Carry out an output of the session machine; events are posted if the link is wanted."""
        match output:
            case facts.AnswerStarted():
                self._uplink.answering(0 if self._opened is None else self._opened.link.undelivered())
            case facts.AnswerEnded():
                self._uplink.answered()
            case facts.AnswerDelay(seconds):
                if self._latency_drift.answered(seconds):
                    self._take(facts.RotationWanted())
            case facts.ResendText(text):
                self._pending.send_text(text)
            case facts.WordsMissed():
                log.event("link.overlooked")
                self._uplink.resend_turn(OVERLOOKED_S)
            case ToolCall():
                self._callbacks.on_tool_call(output)
            case facts.Diagnosis(symptom, action):
                log.event("link.finding", level="warning", kind=symptom.value, remedy=action.value)
                if symptom is facts.Symptom.STALLED_UPLINK and order is not None:
                    self._handle_stall(order)
            case facts.ReplyChunk() | facts.FirstAudio():
                pass  # the receiver's
            case _ if order is not None:
                self.post(output, order)

    def _handle_stall(self, order: OpenLink) -> None:
        """Swap the link; if sending stalls again without an answer, give it up."""
        if self._session.state.stalls <= 1:
            self._stalled = True
            return
        if self._opened is not None:
            self._requeue(self._opened.link)
        self._report_loss(order, LinkError("what is sent does not leave, again", LinkCause.DROPPED))

    def post(self, event: Event, order: OpenLink) -> None:
        """Post an event, if the link is wanted."""
        if self._wanted is order:
            self._callbacks.post(event)
            if isinstance(event, TurnRefused):
                log.event("reply.refused", level="warning")

    def truncate_reply(self) -> None:
        """Note what was heard of an interrupted answer, and tell the model, which believes that all of it was."""
        cut = self._recorder.truncate(self._playback.heard(self._recorder.epoch, loop_time()))
        if cut is None:
            return
        heard_ms, received_ms = (round(REPLY.duration(samples) * 1000) for samples in (cut.heard, cut.received))
        log.event("reply.cut", heard_ms=heard_ms, received_ms=received_ms)
        if cut.note is None or self._opened is None or not self._report_truncation:
            return
        if capabilities(self._opened.model).has(Feature.CONTENT_AT_ANY_TIME):
            self._pending.add_history(HistorySeed(SeedMethod.CONTENT, (Turn(Role.PERSON, cut.note),)))
