"""Reads a link to its end and hands on what it brings: audio to playback, facts to the conversation."""

import asyncio
from collections import deque
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final, Protocol

from appliance import log
from appliance.core.effects import OpenLink
from appliance.core.events import (
    CapReached,
    Continuity,
    Event,
    InputAwaited,
    InteractionReported,
    ReplyEnded,
    ReplyStarted,
    ServerInterrupted,
    ToolsCalled,
    ToolsCancelled,
    TurnRefused,
    UserSpeech,
)
from appliance.core.state import Mode
from appliance.errors import LinkError
from appliance.live.connecting.connector import Connector, OpenedLink
from appliance.live.messages import (
    Grounding,
    HandleUpdated,
    LinkMessage,
    StatusReported,
    ToolCall,
    ToolCallsCancelled,
    TurnComplete,
    TurnReason,
    UsageReported,
    WaitingForInput,
)
from appliance.live.model_capabilities import Feature, capabilities
from appliance.live.session.activity import SessionActivity
from appliance.live.session.callbacks import Callbacks, Playback
from appliance.live.session.diagnosis import Diagnosis
from appliance.live.session.interaction import InteractionState
from appliance.live.session.reply_filter import ReplyChunk, ReplyFact, ReplyFilter
from appliance.live.session.turn_detection import TurnDetection
from appliance.live.transcript_recorder import TranscriptRecorder, TruncatedReply
from appliance.live.usage.recorder import UsageRecorder
from appliance.units import REPLY, Epoch, Seconds

CALLS_REMEMBERED: Final = 256
"""The ids of so many tool calls of a link are known; an older one that comes again is taken for a new call."""


@dataclass(frozen=True, slots=True)
class Dependencies:
    """What is consulted, and kept up to date, with each message."""

    dialler: Connector
    vigil: SessionActivity
    meter: UsageRecorder
    recollection: TranscriptRecorder


class ReceiverOwner(Protocol):
    """Whom the reader works for: the keeper."""

    def handles(self, order: OpenLink) -> bool:
        """Return whether a handle that comes over the link of this order is of use."""

    def wants(self, order: OpenLink) -> bool:
        """Return whether anything is to be heard of the link of this order."""

    def post(self, order: OpenLink, event: Event) -> None:
        """Post an event, if that is wanted."""

    def handle_came(self, unknown: int) -> None:
        """A handle has come: its session knows all that was sent, but for the newest ``unknown`` samples."""

    def answering(self) -> None:
        """There is something to hear in answer to what was said, or a tool is called for it."""

    def answered(self) -> None:
        """That answer, if there is one, has all come or is cut off."""

    def speech_begins(self) -> None:
        """The person speaks."""

    def handle_diagnosis(self, order: OpenLink, finding: Diagnosis) -> None:
        """Do something about what is wrong."""


class Receiver:
    """Serves one link after the other; the numbers of replies go on."""

    def __init__(self, desk: ReceiverOwner, aides: Dependencies, playback: Playback, outlets: Callbacks) -> None:
        self._desk = desk
        self._aides = aides
        self._playback = playback
        self._outlets = outlets
        self._gate = ReplyFilter()
        self._hearing = TurnDetection(0, Mode.HANDS_FREE)
        self._calls: deque[str] = deque(maxlen=CALLS_REMEMBERED)
        self._interaction = InteractionState()
        self._several_turns = False
        """The model may take several turns for one request."""
        self._answered = Epoch(0)
        """The newest reply in which there was something to hear."""

    @property
    def dropped_bytes(self) -> int:
        """Audio of replies that were interrupted."""
        return self._gate.dropped_bytes

    async def read(self, opened: OpenedLink, order: OpenLink) -> LinkError:
        """Read a link until it is lost; return why. While playback is full, nothing is read."""
        self._gate.begin_link(order.link)
        self._hearing = TurnDetection(order.link, order.mode)
        self._calls.clear()
        self._interaction = InteractionState()
        self._several_turns = capabilities(opened.model).has(Feature.STATUS)
        if opened.continuity is Continuity.PARTIAL:
            self._outlets.on_session()
        try:
            async with aclosing(opened.link.messages()) as messages:
                async for message in messages:
                    self._note(message, opened, order)
                    if self._desk.wants(order):
                        await self._take(message, order)
        except LinkError as error:
            return error
        raise AssertionError  # messages end by an error only

    def person_stopped(self) -> None:
        """The person has stopped speaking, and the service did not tell."""
        self._hearing.stopped()

    def discard(self) -> None:
        """Drop what still comes of the model's turn."""
        self._gate.discard()

    def cut_off(self) -> TruncatedReply | None:
        """The newest reply is heard no further; return what was heard of it, None if it was all, or there is none."""
        memory = self._aides.recollection
        cut = memory.cut(self._playback.heard(memory.epoch, _now()))
        if cut is not None:
            heard_ms, received_ms = (round(REPLY.duration(samples) * 1000) for samples in (cut.heard, cut.received))
            log.event("reply.cut", heard_ms=heard_ms, received_ms=received_ms)
        return cut

    def _note(self, message: LinkMessage, opened: OpenedLink, order: OpenLink) -> None:
        """Take what counts even where nothing more is to be heard of the link."""
        match message:
            case HandleUpdated() if self._desk.handles(order):
                self._aides.dialler.handle(message.handle)
                if message.handle is not None:
                    self._desk.handle_came(opened.link.unknown(message.consumed))
            case UsageReported():
                self._aides.meter.count(message, opened.model)

    async def _take(self, message: LinkMessage, order: OpenLink) -> None:
        if isinstance(message, ToolCall):
            if message.id in self._calls:
                log.event("tool.called-again", level="warning", tool=message.name)
                return
            self._calls.append(message.id)
        finding = self._aides.vigil.feed(message, _now())
        for turn in self._aides.recollection.feed(message):
            self._outlets.on_said(turn)
        news = self._interaction.feed(message)
        if news and self._interaction.in_progress:
            self._desk.post(order, InteractionReported(order.link, in_progress=True))
        for fact in self._gate.feed(message, _now()):
            await self._fact(fact, order)
        if isinstance(message, TurnComplete | StatusReported) and self._several_turns:
            self._request_over()
        if news and not self._interaction.in_progress:
            self._desk.post(order, InteractionReported(order.link, in_progress=False))
        self._heard(message, order)
        self._rest_of(message, order)
        if finding is not None:
            self._desk.handle_diagnosis(order, finding)

    def _request_over(self) -> None:
        """The last turn for a request has ended, unless the service works on at it."""
        if not self._interaction.in_progress:
            self._desk.answered()

    def _heard(self, message: LinkMessage, order: OpenLink) -> None:
        """Take what the message says of the person; after what it says of a reply, which they may have interrupted."""
        vigil = self._aides.vigil
        said = None if vigil.is_replay(message, _now()) else self._hearing.feed(message)
        if isinstance(said, UserSpeech):
            self._desk.speech_begins()
            vigil.person_begins(_now())
        elif said is not None:
            vigil.person_stops(_now())
        if said is not None:
            self._desk.post(order, said)

    async def _fact(self, fact: ReplyFact, order: OpenLink) -> None:
        match fact:
            case ReplyChunk():
                self._aides.recollection.received(fact.epoch, len(fact.pcm) // 2)
                if self._aides.vigil.audible and fact.epoch != self._answered:
                    self._answered = fact.epoch
                    self._desk.answering()
                await self._playback.write(fact.epoch, fact.pcm)
            case ReplyEnded():
                if fact.epoch == self._answered and not self._several_turns:
                    self._request_over()
                self._desk.post(order, fact)
            case ReplyStarted():
                self._hearing.answered()
                self._desk.post(order, fact)
            case ServerInterrupted():
                self._desk.post(order, fact)

    def _rest_of(self, message: LinkMessage, order: OpenLink) -> None:
        match message:
            case ToolCall():
                self._desk.answering()
                self._outlets.on_tool_call(message)
                self._desk.post(order, ToolsCalled(order.link, (message.id,)))
            case WaitingForInput():
                self._desk.post(order, InputAwaited(order.link))
            case TurnComplete(TurnReason.REFUSED):
                log.event("reply.refused", level="warning")
                self._desk.post(order, TurnRefused(order.link))
            case ToolCallsCancelled():
                self._desk.post(order, ToolsCancelled(order.link, message.ids))
            case UsageReported():
                cap = self._aides.meter.stop
                if cap is not None:
                    self._desk.post(order, CapReached(order.link, cap))
            case Grounding():
                log.event("reply.looked-up", sources=len(message.sources))


def _now() -> Seconds:
    return Seconds(asyncio.get_running_loop().time())
