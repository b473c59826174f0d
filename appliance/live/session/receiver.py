"""Reads a link to its end and hands on what it brings: audio to playback, facts to the session machine."""

from contextlib import aclosing
from dataclasses import dataclass
from typing import Protocol

from appliance import log
from appliance.clock import loop_time
from appliance.core.effects import OpenLink
from appliance.core.events import CapReached, Continuity, Event, ServerInterrupted
from appliance.errors import LinkError
from appliance.live.connecting.connector import Connector, OpenedLink
from appliance.live.messages import Grounding, HandleUpdated, LinkMessage, ToolCall, UsageReported
from appliance.live.session import facts
from appliance.live.session.callbacks import Callbacks, Playback, Uplink
from appliance.live.session.machine import SessionMachine
from appliance.live.transcript import TranscriptRecorder
from appliance.live.usage.recorder import UsageRecorder


@dataclass(frozen=True, slots=True)
class Dependencies:
    """Objects that are consulted, and kept up to date, with each message."""

    connector: Connector
    session: SessionMachine
    usage: UsageRecorder
    recorder: TranscriptRecorder


class ReceiverOwner(Protocol):
    """The session manager, as the receiver needs it."""

    def handles(self, order: OpenLink) -> bool:
        """Return whether a handle that comes over the link of this order is of use."""

    def wants(self, order: OpenLink) -> bool:
        """Return whether anything is to be heard of the link of this order."""

    def post(self, event: Event, order: OpenLink) -> None:
        """Post an event, if the link is wanted."""

    def execute(self, output: facts.Output, order: OpenLink) -> None:
        """Carry out an output of the session machine that does not concern playback."""

    def truncate_reply(self) -> None:
        """Note what was heard of an interrupted answer, and tell the model."""


class Receiver:
    """Serves one link after the other."""

    def __init__(
        self,
        owner: ReceiverOwner,
        dependencies: Dependencies,
        uplink: Uplink,
        playback: Playback,
        callbacks: Callbacks,
    ) -> None:
        self._owner = owner
        self._connector = dependencies.connector
        self._session = dependencies.session
        self._usage = dependencies.usage
        self._recorder = dependencies.recorder
        self._uplink = uplink
        self._playback = playback
        self._callbacks = callbacks

    async def read(self, opened: OpenedLink, order: OpenLink) -> LinkError:
        """Read a link until it is lost; return why. While playback is full, nothing is read."""
        if opened.continuity is Continuity.PARTIAL:
            self._callbacks.on_session()
        try:
            async with aclosing(opened.link.messages()) as messages:
                async for message in messages:
                    if isinstance(message, HandleUpdated | UsageReported):
                        self._note(message, opened, order)
                    if self._owner.wants(order):
                        await self._take(message, order)
        except LinkError as error:
            return error
        raise AssertionError  # messages end by an error only

    def _note(self, message: HandleUpdated | UsageReported, opened: OpenedLink, order: OpenLink) -> None:
        """Take what counts even where nothing more is to be heard of the link."""
        if isinstance(message, UsageReported):
            self._usage.count(message, opened.model)
        elif self._owner.handles(order):
            self._connector.handle(message.handle)
            if message.handle is not None:
                self._uplink.handle_came(opened.link.unconsumed(message.consumed))

    async def _take(self, message: LinkMessage, order: OpenLink) -> None:
        outputs = self._session.step(message, loop_time())
        if outputs and isinstance(outputs[0], ServerInterrupted):
            self._callbacks.post(outputs[0])  # silence comes before anything is recorded
            self._owner.truncate_reply()
            outputs = outputs[1:]
        self._record(message, outputs)
        for output in outputs:
            await self._execute(output, order)
        if isinstance(message, UsageReported) and self._usage.stop is not None:
            self._owner.post(CapReached(order.link, self._usage.stop), order)

    def _record(self, message: LinkMessage, outputs: tuple[facts.Output, ...]) -> None:
        for turn in self._recorder.feed(message):
            self._callbacks.on_said(turn)
        if isinstance(message, Grounding):
            log.event("reply.looked-up", sources=len(message.sources))
        elif isinstance(message, ToolCall) and not outputs:
            log.event("tool.called-again", level="warning", tool=message.name)

    async def _execute(self, output: facts.Output, order: OpenLink) -> None:
        match output:
            case facts.ReplyChunk(epoch, pcm):
                self._recorder.received(epoch, len(pcm) // 2)
                await self._playback.write(epoch, pcm)
            case facts.FirstAudio():
                for further in self._session.step(output, loop_time()):
                    await self._execute(further, order)
            case _:
                self._owner.execute(output, order)
