"""Keeps at most one Live link: opens, resumes and closes it as the conversation asks, and reports what comes of it.

It decides nothing: whether a lost link is resumed is the core's to say.
"""

import asyncio
from collections.abc import Callable
from contextlib import aclosing, suppress
from dataclasses import dataclass
from typing import Final, Protocol

from appliance.audio.ports import UplinkSink
from appliance.core.effects import CloseLink, OpenLink
from appliance.core.events import (
    Event,
    LinkFailed,
    LinkLost,
    LinkOpened,
    ReplyEnded,
    ReplyStarted,
    ServerInterrupted,
    ToolsCalled,
    ToolsCancelled,
    Trouble,
)
from appliance.errors import ApplianceError, LinkCause, LinkError, ProvisioningError, TokenRefused
from appliance.live.handover import HandOver
from appliance.live.hearing import Hearing
from appliance.live.ports import (
    GoAway,
    HandleUpdated,
    HeardText,
    Link,
    LinkConnector,
    LinkMessage,
    SpokenText,
    TokenSource,
    ToolCall,
    ToolCallsCancelled,
    ToolResult,
    UsageReported,
)
from appliance.live.replies import ReplyChunk, ReplyGate
from appliance.units import Epoch

DRAIN_S: Final = 0.5
"""How long a closing link waits for what was captured to be sent, and a lost one for what it brought to be played."""

Remark = HeardText | SpokenText | UsageReported | GoAway
"""Messages that change nothing here and are of interest to somebody."""


class Uplink(Protocol):
    """What the keeper needs of the uplink."""

    def attach(self, sink: UplinkSink) -> None:
        """Send through this link from now on."""

    def detach(self) -> None:
        """Send no more; what was not sent stays."""

    async def drained(self) -> None:
        """Return once all that belongs to finished turns is sent, or nothing is attached."""


class Playback(Protocol):
    """What the keeper needs of playback."""

    async def write(self, epoch: Epoch, pcm: bytes) -> None:
        """Take s16le, 24 kHz mono; wait while the ring is full, drop what belongs to a reply that was flushed."""


@dataclass(frozen=True, slots=True)
class Outlets:
    """Where the keeper reports to. All are called on the loop's thread and return at once."""

    post: Callable[[Event], None]
    """Acts upon the event before it returns, and may give orders meanwhile: between an interruption and the emptied
    playback there is no await."""
    on_tool_call: Callable[[ToolCall], None]
    """Called before `ToolsCalled` is posted."""
    on_remark: Callable[[Remark], None]
    on_error: Callable[[ApplianceError], None]
    """Why a link failed or was lost; called before that is posted."""


@dataclass(frozen=True, slots=True)
class KeeperCounts:
    """What was dropped or delayed since the start."""

    audio_bytes_dropped: int
    """Of replies that were interrupted."""
    waits_for_playback: int
    """How often a link was not read because playback was full."""
    tool_results_dropped: int
    """For lack of the link that asked."""


class Keeper:
    """Carries out the conversation's orders about links; `run` does the work.

    An order replaces the one before. The old link is closed entirely before the next is opened: the service refuses to
    resume a session whose connection is still open. Nothing is posted about a link that was ordered closed.
    """

    def __init__(
        self, tokens: TokenSource, connector: LinkConnector, uplink: Uplink, playback: Playback, outlets: Outlets
    ) -> None:
        self._tokens = tokens
        self._connector = connector
        self._uplink = uplink
        self._outlets = outlets
        self._gate = ReplyGate()
        self._hand_over = HandOver(playback.write, self._reply_ended)
        self._tasks = asyncio.TaskGroup()
        self._changed = asyncio.Event()
        self._closed = asyncio.Event()
        self._closed.set()
        self._wanted: OpenLink | None = None
        self._link: Link | None = None
        self._leaving = False
        """The link is being closed, which nothing may cut short."""
        self._handle: str | None = None
        self._results_dropped = 0

    @property
    def counts(self) -> KeeperCounts:
        """The counters as they stand."""
        return KeeperCounts(self._gate.dropped_bytes, self._hand_over.waits, self._results_dropped)

    # Orders

    def open(self, order: OpenLink) -> None:
        """Open a link; `LinkOpened` or `LinkFailed` follows."""
        self._wanted = order
        self._closed.clear()
        self._changed.set()

    def close(self, order: CloseLink) -> None:
        """Close that link, or stop opening it."""
        if self._wanted is not None and self._wanted.link == order.link:
            self._wanted = None
            self._changed.set()

    async def closed(self) -> None:
        """Wait until no link is wanted, and the last one is closed."""
        await self._closed.wait()

    def discard(self) -> None:
        """Drop what waits to be played and what still comes of the model's turn."""
        self._hand_over.clear()
        self._gate.discard()

    def send_tool_result(self, result: ToolResult) -> None:
        """Send a tool's result through the open link; without one, drop it."""
        if self._link is None:
            self._results_dropped += 1
        else:
            self._tasks.create_task(self._answer(self._link, result))

    async def _answer(self, link: Link, result: ToolResult) -> None:
        try:
            await link.send_tool_result(result)
        except LinkError:
            self._results_dropped += 1  # that the link is lost, its reader tells

    # Work

    async def run(self) -> None:
        """Open and close links as ordered, until cancelled."""
        async with self._tasks:
            self._tasks.create_task(self._hand_over.run())
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
        if self._link is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(DRAIN_S):
                    await self._uplink.drained()
        if not self._leaving:
            task.cancel()
        await asyncio.wait([task])

    async def _serve(self, order: OpenLink) -> None:
        """Open a link and read it to its end."""
        if not order.resume:
            self._handle = None
        handle = self._handle
        try:
            token = await self._tokens.fetch(order.mode, resume=handle is not None)
            async with self._connector.open(token, order.mode, handle) as link:
                if self._wanted is order:
                    await self._use(link, order)
                self._leaving = True
        except (ProvisioningError, LinkError) as error:
            if handle and isinstance(error, LinkError) and error.cause is LinkCause.REFUSED:
                self._handle = None
            self._end(order, LinkFailed(order.link, trouble_of(error)), error)

    async def _use(self, link: Link, order: OpenLink) -> None:
        """Read an open link; return when it is lost."""
        self._gate.begin_link(order.link)
        self._link = link
        self._uplink.attach(link)
        self._tell(order, LinkOpened(order.link))
        try:
            await self._read(link, order)
        except LinkError as error:
            await self._hand_over_rest()
            lost = LinkLost(order.link, resumable=self._handle is not None, trouble=trouble_of(error))
            self._end(order, lost, error)
        finally:
            self._link = None
            self._uplink.detach()

    async def _hand_over_rest(self) -> None:
        """Let what has come of a reply, its end above all, be known before the loss of the link is."""
        with suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_S):
                await self._hand_over.empty()

    async def _read(self, link: Link, order: OpenLink) -> None:
        hearing = Hearing(order.link, order.mode)
        async with aclosing(link.messages()) as messages:
            async for message in messages:
                if isinstance(message, HandleUpdated):
                    self._handle = message.handle
                elif self._wanted is order:
                    await self._take(message, order, hearing)

    async def _take(self, message: LinkMessage, order: OpenLink, hearing: Hearing) -> None:
        """Report one message."""
        if said := hearing.feed(message):
            self._tell(order, said)
        for fact in self._gate.feed(message):
            match fact:
                case ReplyChunk() | ReplyEnded():
                    await self._hand_over.put(fact)
                case ReplyStarted():
                    hearing.answered()
                    self._tell(order, fact)
                case ServerInterrupted():
                    self._hand_over.clear()
                    self._tell(order, fact)
        match message:
            case ToolCall():
                self._outlets.on_tool_call(message)
                self._tell(order, ToolsCalled(order.link, (message.id,)))
            case ToolCallsCancelled():
                self._tell(order, ToolsCancelled(order.link, message.ids))
            case HeardText() | SpokenText() | UsageReported() | GoAway():
                self._outlets.on_remark(message)

    def _tell(self, order: OpenLink, event: Event) -> None:
        if self._wanted is order:
            self._outlets.post(event)

    def _reply_ended(self, event: ReplyEnded) -> None:
        """The last audio of a reply is with playback."""
        if self._wanted is not None and self._wanted.link == event.link:
            self._outlets.post(event)

    def _end(self, order: OpenLink, event: LinkFailed | LinkLost, error: ApplianceError) -> None:
        """Report the end of a link that nobody asked for; from then on it is no longer wanted."""
        if self._wanted is order:
            self._wanted = None
            self._outlets.on_error(error)
            self._outlets.post(event)


def trouble_of(error: ApplianceError) -> Trouble:
    """Return what the household is told about a link that failed or was lost."""
    match error:
        case TokenRefused() | LinkError(cause=LinkCause.REFUSED):
            return Trouble.REFUSED
        case LinkError(cause=LinkCause.QUOTA):
            return Trouble.QUOTA
        case _:
            return Trouble.NETWORK
