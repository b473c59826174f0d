"""A household around a manager: tokens, links, an uplink, playback and a conversation, all in memory."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from appliance.audio.ports import UplinkSink
from appliance.core.effects import CloseLink, OpenLink, Session
from appliance.core.events import Event, ServerInterrupted
from appliance.core.state import Mode
from appliance.errors import ApplianceError, LinkAction, LinkCause, LinkError
from appliance.live.connecting.connector import Connector, Sources
from appliance.live.messages import LinkMessage, ToolCall
from appliance.live.ports import HistorySeed, LiveToken, OptionalFeature, Request, ToolResult, Traffic, Turn
from appliance.live.session.callbacks import Callbacks
from appliance.live.session.machine import SessionMachine
from appliance.live.session.manager import SessionManager
from appliance.live.session.receiver import Dependencies
from appliance.live.session.state import Limits
from appliance.live.transcript import TranscriptRecorder
from appliance.live.usage.pricing import Caps
from appliance.live.usage.recorder import UsageRecorder
from appliance.units import Epoch, Seconds

MODEL = "gemini-3.8-live"
TOKEN = LiveToken("auth_tokens/x", MODEL, "v1alpha", None, Seconds(0.0), Seconds(60.0), Seconds(10_000.0))
TODAY = date(2026, 11, 20)


@dataclass
class FakeTokens:
    """Takes ``delay_s`` to find a token, or ``error``."""

    delay_s: float = 0.0
    error: ApplianceError | None = None
    token: LiveToken = TOKEN
    asked: list[bool] = field(default_factory=list)
    """For each fetch, whether it was for a resumption."""
    open_links: int = 0

    async def fetch(self, mode: Mode, *, resume: bool) -> LiveToken:
        self.asked.append(resume)
        await asyncio.sleep(self.delay_s)
        if self.error:
            raise self.error
        return self.token

    @contextmanager
    def track_link(self, token: LiveToken) -> Iterator[None]:
        self.open_links += 1
        try:
            yield
        finally:
            self.open_links -= 1


@dataclass
class FakeStore:
    """Keeps in memory."""

    value: object = None
    saves: int = 0

    def load(self) -> object:
        return self.value

    async def save(self, value: Mapping[str, Any]) -> None:
        self.value = value
        self.saves += 1


class FakeLink:
    """A link whose other end the test holds: ``say`` and ``lose``."""

    def __init__(self) -> None:
        self._incoming: asyncio.Queue[LinkMessage | LinkError] = asyncio.Queue()
        self.results: list[ToolResult] = []
        self.texts: list[str] = []
        self.seeds: list[HistorySeed] = []
        self.lost: LinkError | None = None
        self.on_its_way: Traffic | None = Traffic(0, 0)
        self.never_arrived = 0

    def say(self, *messages: LinkMessage) -> None:
        for message in messages:
            self._incoming.put_nowait(message)

    def lose(self, cause: LinkCause = LinkCause.DROPPED, action: LinkAction | None = None) -> None:
        self.lost = LinkError("lost", cause, action)
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

    async def send_text(self, text: str) -> None:
        if self.lost:
            raise self.lost
        self.texts.append(text)

    async def send_seed(self, seed: HistorySeed) -> None:
        if self.lost:
            raise self.lost
        self.seeds.append(seed)

    def traffic(self) -> Traffic | None:
        return self.on_its_way

    def undelivered(self) -> int:
        return self.never_arrived

    def unconsumed(self, consumed: int | None) -> int:
        return self.never_arrived if consumed is None else consumed

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
    errors: list[LinkError] = field(default_factory=list)
    """Errors of the next attempts, one each; before ``error``."""
    links: list[FakeLink] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
    tiers: frozenset[OptionalFeature] = frozenset()
    connections: int = 0
    model_config: str = "instruction and tools"

    @property
    def handles(self) -> list[str | None]:
        return [request.handle for request in self.requests]

    def optional_features(self, model: str, request: Request) -> frozenset[OptionalFeature]:
        return self.tiers - request.omitted_features

    def config_hash(self, model: str) -> str:
        return self.model_config

    @asynccontextmanager
    async def open(self, token: LiveToken, request: Request) -> AsyncIterator[FakeLink]:
        assert self.connections == 0, "the service refuses a second connection of a session"
        self.connections += 1
        self.requests.append(request)
        try:
            await asyncio.sleep(self.open_s)
            if self.errors:
                raise self.errors.pop(0)
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
    unknown: list[int] = field(default_factory=list)
    """For each handle, the samples that its session need not know."""
    to_handle: list[bool] = field(default_factory=list)
    """For each lost link, whether all since the handle is taken back."""
    undelivered: list[int] = field(default_factory=list)
    """For each answer, how many samples had not arrived as it began."""

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

    def answering(self, undelivered: int) -> None:
        self.undelivered.append(undelivered)
        self.log.append("answering")

    def answered(self) -> None:
        self.log.append("answered")

    def resend_turn(self, newest_s: Seconds | None = None) -> Seconds:
        self.log.append("repeat")
        return Seconds(0.5)

    def handle_came(self, unknown: int) -> None:
        self.unknown.append(unknown)

    def requeue(self, samples: int, *, to_handle: bool = False) -> Seconds:
        self.to_handle.append(to_handle)
        if samples:
            self.log.append(f"take back {samples}")
        return Seconds(samples / 64_000)


@dataclass
class FakePlayback:
    """A ring of ``ring_s`` that nobody empties but ``flush``."""

    ring_s: float = 60.0
    played: dict[int, bytes] = field(default_factory=dict)
    offered: int = 0
    """Chunks, admitted or not."""
    flushed: int = 0
    heard_of: dict[int, int] = field(default_factory=dict)
    """Samples."""
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

    def heard(self, epoch: Epoch, now: Seconds) -> int:
        return self.heard_of.get(epoch, 0)

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
    said: list[Turn] = field(default_factory=list)
    errors: list[ApplianceError] = field(default_factory=list)
    on_event: Callable[[Event], None] = lambda _: None
    usage: FakeStore = field(default_factory=FakeStore)
    limitations: FakeStore = field(default_factory=FakeStore)
    caps: Caps = field(default_factory=Caps)
    memory_s: float = 60.0
    report_truncation: bool = True
    lot: float = 0.5

    @asynccontextmanager
    async def keeping(self) -> AsyncIterator[SessionManager]:
        """Run a manager; afterwards nothing is open or attached any more."""
        callbacks = Callbacks(self._post, self.calls.append, lambda: None, self.said.append, self.errors.append)
        recorder = TranscriptRecorder()
        sources = Sources(self.tokens, self.connector, self.limitations)
        connector = Connector(
            sources, recorder.transcript, memory_s=self.memory_s, today=lambda: TODAY, random=lambda: self.lot
        )
        meter = UsageRecorder(self.caps, self.usage, lambda: TODAY)
        dependencies = Dependencies(connector, SessionMachine(Limits()), meter, recorder)
        manager = SessionManager(
            dependencies, self.uplink, self.playback, callbacks, report_truncation=self.report_truncation
        )
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(manager.run())
            yield manager
            running.cancel()
        assert self.connector.connections == 0
        assert self.tokens.open_links == 0
        assert self.uplink.sink is None

    @asynccontextmanager
    async def linked(self, mode: Mode = Mode.HANDS_FREE) -> AsyncIterator[tuple[SessionManager, FakeLink]]:
        """Run a manager with link 1 open, and forget that it was told."""
        async with self.keeping() as manager:
            manager.open(OpenLink(1, mode, Session.CONTINUE_IF_RECENT))
            await settle()
            self.events.clear()
            yield manager, self.connector.links[0]

    def _post(self, event: Event) -> None:
        self.events.append(event)
        if isinstance(event, ServerInterrupted):
            self.playback.flush()
        self.on_event(event)


def opening(link: int, session: Session = Session.CONTINUE_IF_RECENT) -> OpenLink:
    return OpenLink(link, Mode.HANDS_FREE, session)


def closing(link: int) -> CloseLink:
    return CloseLink(link)


async def settle() -> None:
    """Let everything happen that needs no time."""
    await asyncio.sleep(0.001)
