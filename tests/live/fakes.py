"""A household around a keeper: tokens, links, an uplink, playback and a conversation, all in memory."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from appliance.audio.ports import UplinkSink
from appliance.core.effects import CloseLink, OpenLink
from appliance.core.events import Event, ServerInterrupted
from appliance.core.state import Mode
from appliance.errors import ApplianceError, LinkCause, LinkError
from appliance.live.keeper import Keeper, Outlets, Remark
from appliance.live.ports import LinkMessage, LiveToken, ToolCall, ToolResult
from appliance.units import Epoch, Seconds

TOKEN = LiveToken("auth_tokens/x", "gemini-3.8-live", "v1alpha", None, Seconds(0.0), Seconds(60.0), Seconds(1800.0))


@dataclass
class FakeTokens:
    """Takes ``delay_s`` to find a token, or ``error``."""

    delay_s: float = 0.0
    error: ApplianceError | None = None
    asked: list[bool] = field(default_factory=list)
    """For each fetch, whether it was for a resumption."""

    async def fetch(self, mode: Mode, *, resume: bool) -> LiveToken:
        self.asked.append(resume)
        await asyncio.sleep(self.delay_s)
        if self.error:
            raise self.error
        return TOKEN


class FakeLink:
    """A link whose other end the test holds: ``say`` and ``lose``."""

    def __init__(self) -> None:
        self._incoming: asyncio.Queue[LinkMessage | LinkError] = asyncio.Queue()
        self.results: list[ToolResult] = []
        self.lost: LinkError | None = None

    def say(self, *messages: LinkMessage) -> None:
        for message in messages:
            self._incoming.put_nowait(message)

    def lose(self, cause: LinkCause = LinkCause.DROPPED) -> None:
        self.lost = LinkError("lost", cause)
        self._incoming.put_nowait(self.lost)

    @property
    def unread(self) -> int:
        return self._incoming.qsize()

    async def messages(self) -> AsyncGenerator[LinkMessage, None]:
        while True:
            message = await self._incoming.get()
            if isinstance(message, LinkError):
                raise message
            yield message

    async def send_audio(self, pcm: bytes) -> None: ...
    async def send_activity_start(self) -> None: ...
    async def send_activity_end(self) -> None: ...
    async def send_audio_stream_end(self) -> None: ...
    async def send_text(self, text: str) -> None: ...

    async def send_tool_result(self, result: ToolResult) -> None:
        if self.lost:
            raise self.lost
        self.results.append(result)


@dataclass
class FakeConnector:
    """Opens a link after ``open_s`` or raises ``error``; closing one takes ``close_s``. Never two at a time."""

    open_s: float = 0.0
    close_s: float = 0.0
    error: LinkError | None = None
    links: list[FakeLink] = field(default_factory=list)
    handles: list[str | None] = field(default_factory=list)
    connections: int = 0

    @asynccontextmanager
    async def open(self, token: LiveToken, mode: Mode, handle: str | None) -> AsyncIterator[FakeLink]:
        assert self.connections == 0, "the service refuses a second connection of a session"
        self.connections += 1
        self.handles.append(handle)
        try:
            await asyncio.sleep(self.open_s)
            if self.error:
                raise self.error
            link = FakeLink()
            self.links.append(link)
            yield link
        finally:
            await asyncio.sleep(self.close_s)
            self.connections -= 1


@dataclass
class FakeUplink:
    """Takes ``drain_s`` to send what is left."""

    drain_s: float = 0.0
    sink: UplinkSink | None = None
    log: list[str] = field(default_factory=list)

    def attach(self, sink: UplinkSink) -> None:
        assert self.sink is None
        self.sink = sink
        self.log.append("attach")

    def detach(self) -> None:
        self.sink = None
        self.log.append("detach")

    async def drained(self) -> None:
        await asyncio.sleep(self.drain_s)
        self.log.append("drained")


@dataclass
class FakePlayback:
    """A ring of ``ring_s`` that nobody empties but ``flush``."""

    ring_s: float = 60.0
    played: dict[int, bytes] = field(default_factory=dict)
    offered: int = 0
    """Chunks, admitted or not."""
    flushed: int = 0
    _ring: int = 0
    _room: asyncio.Event = field(default_factory=asyncio.Event)

    async def write(self, epoch: Epoch, pcm: bytes) -> None:
        self.offered += 1
        while epoch > self.flushed and self._ring + len(pcm) > self.ring_s * 48_000:
            self._room.clear()
            await self._room.wait()
        if epoch > self.flushed:
            self._ring += len(pcm)
            self.played[epoch] = self.played.get(epoch, b"") + pcm

    def flush(self) -> None:
        self.flushed = max(self.played, default=0)
        self._ring = 0
        self._room.set()


@dataclass
class Household:
    """All of it, and what the conversation was told."""

    tokens: FakeTokens = field(default_factory=FakeTokens)
    connector: FakeConnector = field(default_factory=FakeConnector)
    uplink: FakeUplink = field(default_factory=FakeUplink)
    playback: FakePlayback = field(default_factory=FakePlayback)
    events: list[Event] = field(default_factory=list)
    calls: list[ToolCall] = field(default_factory=list)
    remarks: list[Remark] = field(default_factory=list)
    errors: list[ApplianceError] = field(default_factory=list)
    on_event: Callable[[Event], None] = lambda _: None

    @asynccontextmanager
    async def keeping(self) -> AsyncIterator[Keeper]:
        """Run a keeper; afterwards nothing is open or attached any more."""
        outlets = Outlets(self._post, self.calls.append, self.remarks.append, self.errors.append)
        keeper = Keeper(self.tokens, self.connector, self.uplink, self.playback, outlets)
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(keeper.run())
            yield keeper
            running.cancel()
        assert self.connector.connections == 0
        assert self.uplink.sink is None

    @asynccontextmanager
    async def linked(self, mode: Mode = Mode.HANDS_FREE) -> AsyncIterator[tuple[Keeper, FakeLink]]:
        """Run a keeper with link 1 open, and forget that it was told."""
        async with self.keeping() as keeper:
            keeper.open(OpenLink(1, mode, resume=False))
            await settle()
            self.events.clear()
            yield keeper, self.connector.links[0]

    def _post(self, event: Event) -> None:
        self.events.append(event)
        if isinstance(event, ServerInterrupted):
            self.playback.flush()
        self.on_event(event)


def opening(link: int, *, resume: bool = False) -> OpenLink:
    return OpenLink(link, Mode.HANDS_FREE, resume)


def closing(link: int) -> CloseLink:
    return CloseLink(link)


async def settle() -> None:
    """Let everything happen that needs no time."""
    await asyncio.sleep(0.001)
