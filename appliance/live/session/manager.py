"""Keeps at most one Live link: opens, watches, swaps and closes it, and reports what comes of it.

It decides nothing that the household notices: whether a lost link is replaced, and whether a question is asked again,
is the core's to say. What nobody notices it does alone: attempt after attempt while a link is being opened, and a swap
for a connection that is about to end.
"""

import asyncio
from contextlib import suppress
from enum import Enum
from functools import partial
from typing import Final

from appliance import log
from appliance.clock import timeout
from appliance.core.effects import CloseLink, OpenLink, Session
from appliance.core.events import (
    Continuity,
    Event,
    LinkDelayed,
    LinkFailed,
    LinkLost,
    LinkOpened,
    ServerInterrupted,
    Unanswered,
    UserSilent,
    UserSpeech,
)
from appliance.core.state import Mode
from appliance.errors import ApplianceError, LinkCause, LinkError, ProvisioningError
from appliance.live.connecting.connector import OpenedLink, trouble_of
from appliance.live.connecting.rotation import Busy, Swap
from appliance.live.model_capabilities import Feature, capabilities
from appliance.live.ports import HistorySeed, Link, Role, SeedMethod, ToolResult, Turn
from appliance.live.session.callbacks import Callbacks, Candour, Playback, SessionCounts, Uplink
from appliance.live.session.diagnosis import Action, Diagnosis, Symptom
from appliance.live.session.pending_messages import PendingMessages
from appliance.live.session.receiver import Dependencies, Receiver
from appliance.units import Dbfs, Seconds

DRAIN_S: Final = 0.5
"""How long a closing link waits for what was captured to be sent."""
BEAT_S: Final = 0.25
"""How often an open link is looked after."""
OVERLOOKED_S: Final = Seconds(6.0)
"""So much of the newest speech is sent once more where the service has missed short words."""


class _Left(Enum):
    """Why a link is used no more."""

    LOST = "lost"
    SWAP = "swap"


class SessionManager:
    """Carries out the conversation's orders about links; `run` does the work.

    An order replaces the one before. The old link is closed entirely before the next is opened: the service refuses to
    resume a session whose connection is still open. Nothing is posted about a link that was ordered closed.
    """

    def __init__(
        self,
        aides: Dependencies,
        uplink: Uplink,
        playback: Playback,
        outlets: Callbacks,
        candour: Candour = Candour.TELL,
    ) -> None:
        self._dialler = aides.dialler
        self._vigil = aides.vigil
        self._meter = aides.meter
        self._recollection = aides.recollection
        self._uplink = uplink
        self._outlets = outlets
        self._candour = candour
        self._reader = Receiver(self, aides, playback, outlets)
        self._tasks = asyncio.TaskGroup()
        self._outbox = PendingMessages(self._tasks, lambda call: self._vigil.tool_done(call, _now()))
        self._changed = asyncio.Event()
        self._closed = asyncio.Event()
        self._closed.set()
        self._wanted: OpenLink | None = None
        self._opened: OpenedLink | None = None
        self._leaving = False
        """The link is being closed, which nothing may cut short."""
        self._stalled = False
        """What was sent last has not arrived."""
        self._stalls = 0
        """So often since the last answer."""
        self._answering = False
        """There is something to hear of an answer over this link, and more to come; or a tool was called for it."""
        self._text: str | None = None
        """What was said in writing and has no answer."""
        self._text_on: OpenedLink | None = None
        """The link that it was sent over."""
        self._swaps = 0

    @property
    def counts(self) -> SessionCounts:
        """The counters as they stand."""
        outbox = self._outbox
        return SessionCounts(self._reader.dropped_bytes, outbox.results_dropped, outbox.texts_dropped, self._swaps)

    # Orders

    def open(self, order: OpenLink) -> None:
        """Open a link; `LinkOpened` or `LinkFailed` follows, perhaps after `LinkDelayed`."""
        if order.session is Session.CONTINUE_IF_RECENT:
            self._vigil.conversation()
            self._meter.conversation()
            self._outbox.forget()
            self._text = None
            self._stalled, self._stalls = False, 0
        self._wanted = order
        self._closed.clear()
        self._changed.set()

    def close(self, order: CloseLink) -> None:
        """Close that link, or stop opening it."""
        if self._wanted is not None and self._wanted.link == order.link:
            self._wanted = None
            self._outbox.forget()
            self._dialler.conversation_ended()
            self._changed.set()

    async def closed(self) -> None:
        """Wait until no link is wanted, and the last one is closed."""
        await self._closed.wait()

    def discard(self) -> None:
        """Drop what still comes of the model's turn."""
        self._cut_off()
        self._reader.discard()

    def begin_speech(self, mode: Mode) -> None:
        """The person takes the word by the wake word or the button."""
        self.answered()
        self._text = None
        if mode is Mode.PUSH_TO_TALK:
            self._vigil.person_begins(_now())
        else:
            self._vigil.turn_begins(_now())

    def end_speech(self) -> None:
        """The button was released: from now on an answer is due."""
        self._vigil.person_stops(_now())

    def listen(self, level: Dbfs, duration: Seconds) -> None:
        """Take the level of the next stretch of microphone audio while the person has the word."""
        self._vigil.heard_here(level, duration)

    def send_text(self, text: str) -> None:
        """Say something in writing, now or once the link is open; an answer is due."""
        self._vigil.person_begins(_now())
        self._vigil.person_stops(_now())
        self._recollection.written(text)
        self._uplink.answered()
        self._text, self._text_on = text, self._opened
        self._outbox.send_text(text)

    def resend_turn(self) -> None:
        """Say once more what has no answer yet."""
        self._vigil.repeated(Seconds(_now() + self._uplink.resend_turn()))
        if self._text is not None and self._text_on is not self._opened:
            self._text_on = self._opened
            self._outbox.send_text(self._text)

    def resend_unconfirmed(self) -> None:
        """Send once more what may not have arrived; the person need not have finished."""
        sent_at = Seconds(_now() + self._uplink.resend_turn())
        if self._vigil.waiting:
            self._vigil.repeated(sent_at)

    def forget(self) -> None:
        """Let the next conversation know nothing of this one."""
        self._dialler.forget()

    def send_tool_result(self, result: ToolResult) -> None:
        """Answer a tool call, now or once the link is open again."""
        self._outbox.answer(result)

    # Work

    async def run(self) -> None:
        """Open and close links as ordered, until cancelled."""
        async with self._tasks:
            self._tasks.create_task(self._meter.run())
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
        self._dialler.begin(order.session)
        cap = self._meter.stop
        if cap is not None:
            self._end(order, LinkFailed(order.link, cap))
            return
        left: _Left | None = None
        while self._wanted is order and left is not _Left.LOST:
            self._leaving = False
            try:
                async with self._dialler.open(order.mode, partial(self._delayed, order, left)) as opened:
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
        self._vigil.link_opened(_now())
        if opened.continuity is Continuity.PARTIAL:
            self._vigil.tools_gone()
        self._opened = opened
        self._answering = self._answering and self._vigil.tool_ran
        self._uplink.attach(opened.link)
        if self._text_on is None:
            self._text_on = opened
        self._outbox.opened(opened.link, opened.continuity)
        if before is None:
            self.post(order, LinkOpened(order.link, opened.continuity))
        swapped = before is _Left.SWAP and opened.continuity is Continuity.PARTIAL
        if (self._stalled or swapped) and not self._vigil.tool_ran:
            self.resend_unconfirmed()  # unless a tool has acted upon it: what it has done is not to be done twice
        self._stalled = False
        reading = self._tasks.create_task(self._reader.read(opened, order))
        try:
            return await self._attend(reading, opened, order)
        finally:
            self._opened = None
            self._outbox.closed()
            self._uplink.detach()
            reading.cancel()
            await asyncio.wait([reading])

    async def _attend(self, reading: asyncio.Task[LinkError], opened: OpenedLink, order: OpenLink) -> _Left:
        """Look after an open link until it is lost or to be swapped."""
        while True:
            await asyncio.wait([reading], timeout=BEAT_S)
            if reading.done():
                self._requeue(opened.link)
                self._report_loss(order, reading.result())
                return _Left.LOST
            if self._wanted is order and self._beat(opened, order):
                self._swaps += 1
                self._dialler.swap()
                return _Left.SWAP

    def _beat(self, opened: OpenedLink, order: OpenLink) -> bool:
        """Look after the link once; return whether to swap it."""
        now = _now()
        if self._vigil.speaks_unnoticed(order.mode):
            self.speech_begins()
            self._vigil.begins_here(now)
            self.post(order, UserSpeech(order.link))
        stopped_s = self._vigil.unnoticed_s(order.mode)
        if stopped_s is not None:
            self._vigil.person_stops(Seconds(now - stopped_s))
            self._reader.person_stopped()
            self.post(order, UserSilent(order.link))
        elif self._vigil.overlooked(order.mode):
            log.event("link.overlooked")
            self._uplink.resend_turn(OVERLOOKED_S)
        finding = self._vigil.check(opened.link.traffic(), now)
        if finding is not None:
            self.handle_diagnosis(order, finding)
        swap = self._vigil.swap(now).swap
        if swap is Swap.FORCED and self._vigil.busy & {Busy.MODEL, Busy.TOOL}:
            error = LinkError("the Live service is about to end the connection", LinkCause.ENDED)
            self._report_loss(order, error)
            return False
        if self._wanted is not order or (swap is Swap.LATER and not self._stalled):
            return False
        log.event("link.swap", when="stalled" if self._stalled else swap.value)
        return True

    def _requeue(self, link: Link) -> None:
        """Leave to the next link what its session may not know: what was sent since the handle that it goes on with.

        Once a tool has acted upon that, only what has surely not arrived: what was done is not to be done twice.
        """
        self._uplink.requeue(link.undelivered(), to_handle=not self._vigil.tool_ran)

    def _delayed(self, order: OpenLink, left: _Left | None, error: ApplianceError) -> None:
        """An attempt has failed. One to swap a link is no secret any more: the conversation is to show it."""
        if left is None:
            self._outlets.on_error(error)
            self.post(order, LinkDelayed(order.link, trouble_of(error)))
        else:
            self._end(order, self._loss(order, error, resumable=True), error)

    def _report_loss(self, order: OpenLink, error: LinkError) -> None:
        """Report that an open link has ended, if it is wanted; the next attempt is planned by why."""
        if self._wanted is order:
            self._end(order, self._loss(order, error, resumable=self._dialler.lost(error)), error)

    def _loss(self, order: OpenLink, error: ApplianceError, *, resumable: bool) -> LinkLost:
        return LinkLost(order.link, resumable, trouble_of(error), self._vigil.speech_begins)

    def _end(self, order: OpenLink, event: LinkFailed | LinkLost, error: ApplianceError | None = None) -> None:
        """Report the end of a link that nobody asked for; from then on it is no longer wanted."""
        if self._wanted is order:
            self._wanted = None
            self._dialler.conversation_ended()
            self._changed.set()
            if error is not None:
                self._outlets.on_error(error)
            self._outlets.post(event)

    def _cut_off(self) -> None:
        """Note what was heard of an answer, and tell the model, which believes that all of it was."""
        cut = self._reader.cut_off()
        if cut is None or cut.note is None or self._opened is None or self._candour is Candour.KEEP:
            return
        if capabilities(self._opened.model).has(Feature.CONTENT_AT_ANY_TIME):
            self._outbox.add_history(HistorySeed(SeedMethod.CONTENT, (Turn(Role.PERSON, cut.note),)))

    # For the reader

    def handles(self, order: OpenLink) -> bool:
        """Return whether a handle that comes over the link of this order is of use: its session may be given up."""
        return self._wanted is None or self._wanted is order or self._wanted.session is not Session.NEW

    def wants(self, order: OpenLink) -> bool:
        """Return whether anything is to be heard of the link of this order."""
        return self._wanted is order

    def post(self, order: OpenLink, event: Event) -> None:
        """Post an event, if that is wanted."""
        if self._wanted is order:
            if isinstance(event, ServerInterrupted):
                self._cut_off()
                self.answered()
            self._outlets.post(event)

    def handle_came(self, unknown: int) -> None:
        """A handle has come: its session knows all that was sent, but for the newest ``unknown`` samples."""
        self._uplink.handle_came(unknown)

    def answering(self) -> None:
        """There is something to hear in answer to what was said, or a tool is called for it."""
        self._answering = True
        self._uplink.answering(0 if self._opened is None else self._opened.link.undelivered())

    def answered(self) -> None:
        """That answer, if there is one, has all come or is cut off."""
        if self._answering:
            self._answering = False
            self._stalls = 0
            self._uplink.answered()
            self._text = None

    def speech_begins(self) -> None:
        """The person speaks: what a tool has acted upon is over, and not to be asked again with what follows."""
        if self._vigil.tool_ran:
            self.answered()

    def handle_diagnosis(self, order: OpenLink, finding: Diagnosis) -> None:
        """Do something about what is wrong."""
        log.event("link.finding", level="warning", kind=finding.kind.value, remedy=finding.remedy.value)
        if finding.kind is Symptom.STALLED_UPLINK and not self._stalls:
            self._stalled, self._stalls = True, 1
        elif finding.kind is Symptom.STALLED_UPLINK:
            if self._opened is not None:
                self._requeue(self._opened.link)
            error = LinkError("what is sent does not leave, again", LinkCause.DROPPED)
            self._report_loss(order, error)
        else:
            if finding.kind is Symptom.FAILED_TURN:
                self.post(order, UserSilent(order.link))  # the service has heard an end, and need not have told
            heard = finding.kind is not Symptom.NO_REPLY or not self._vigil.doubtful
            self.post(order, Unanswered(order.link, finding.remedy is Action.RETRY_UTTERANCE, heard))


def _now() -> Seconds:
    return Seconds(asyncio.get_running_loop().time())
