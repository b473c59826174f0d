"""The whole daemon over the real link: Google's SDK, TLS and sockets on loopback; microphone and ears are in memory."""

import asyncio
import http.client
import json
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from appliance.adapters import Adapters
from appliance.audio.worker.supervisor import WorkerSupervisor
from appliance.config.load import load
from appliance.config.schema import Settings
from appliance.conversation import Moment
from appliance.core.state import Mode, State
from appliance.daemon import Appliance
from appliance.live.gemini.connection import GeminiConnection, GeminiConnector
from appliance.live.ports import LiveToken, OptionalFeature, Request
from appliance.observers import Observers
from appliance.simulator.options import DEFAULT_API_KEY
from appliance.tools.builtin import builtin
from appliance.tools.registry import Registry
from appliance.units import Seconds
from appliance.voice.level import LevelVoiceDetector
from tests.support.household import Light, Manager
from tests.support.live import FakeStore
from tests.support.simulated_home import Loudspeaker, Room

MODEL: Final = "gemini-3.8-live"
LIFE_S: Final = 1800.0
SILENT: Final[dict[str, dict[str, object]]] = {"playback": {"earcons": False}}
"""Sounds of our own would be taken for the reply."""


async def mint(base_url: str, ca_file: Path) -> LiveToken:
    """Have a simulator make a token for any number of sessions."""
    return any_token(base_url, await asyncio.to_thread(_minted, base_url, ca_file))


def _minted(base_url: str, ca_file: Path) -> str:
    trust = ssl.create_default_context(cafile=ca_file)
    connection = http.client.HTTPSConnection(urlsplit(base_url).netloc, context=trust, timeout=10)
    try:
        connection.request("POST", "/v1alpha/auth_tokens", b'{"uses": 0}', {"x-goog-api-key": DEFAULT_API_KEY})
        return str(json.load(connection.getresponse())["name"])
    finally:
        connection.close()


def any_token(base_url: str, name: str = "auth_tokens/none") -> LiveToken:
    """Return a token; by that name, for a service that does not look at it. On a loop only."""
    now = asyncio.get_running_loop().time()
    return LiveToken(name, MODEL, "v1alpha", base_url, Seconds(now), Seconds(now + LIFE_S), Seconds(now + LIFE_S))


@dataclass
class WarmToken:
    """A token that is there already; implements `live.ports.TokenSource`."""

    token: LiveToken

    async def fetch(self, mode: Mode, *, resume: bool) -> LiveToken:
        return self.token

    def track_link(self, token: LiveToken) -> AbstractContextManager[None]:
        return nullcontext()


class WatchedConnector:
    """The real connector; notes when links are given up. Implements `live.ports.LinkConnector`."""

    def __init__(self, connector: GeminiConnector) -> None:
        self._connector = connector
        self.opened_at: list[float] = []
        self.left_at: list[float] = []

    def optional_features(self, model: str, request: Request) -> frozenset[OptionalFeature]:
        return self._connector.optional_features(model, request)

    def config_hash(self, model: str) -> str:
        return self._connector.config_hash(model)

    @asynccontextmanager
    async def open(self, token: LiveToken, request: Request) -> AsyncIterator[GeminiConnection]:
        loop = asyncio.get_running_loop()
        async with self._connector.open(token, request) as link:
            self.opened_at.append(loop.time())
            try:
                yield link
            finally:
                self.left_at.append(loop.time())


@dataclass
class House:
    """The daemon and everything around it; runs inside ``async with living()``."""

    token: LiveToken
    ca_file: Path
    changed: dict[str, dict[str, object]] = field(default_factory=dict)
    """Settings other than those that ship."""
    engine: WorkerSupervisor | None = None
    """Playback engine; None: ears in memory."""
    on_moment: Callable[[Moment], None] = lambda _: None
    room: Room = field(default_factory=Room)
    moments: list[Moment] = field(default_factory=list)

    @property
    def settings(self) -> Settings:
        base: dict[str, dict[str, object]] = {
            "speaker": {"kind": "alsa", "volume": 1.0},
            "live": {"ca_file": str(self.ca_file)},
        }
        return load([], base | self.changed).settings

    @asynccontextmanager
    async def living(self) -> AsyncIterator[Appliance]:
        """Run the daemon until the block ends."""
        settings = self.settings
        appliance: Appliance
        tools = builtin(
            lambda: datetime.now().astimezone(),
            lambda: appliance.end_conversation(),  # noqa: PLW0108  it is made below
            lambda gain: appliance.set_volume(gain),  # noqa: PLW0108  it is made below
            lambda: appliance.forget(),  # noqa: PLW0108  it is made below
        )
        registry = Registry(tools, settings.tools)
        connector = GeminiConnector(settings.live, registry.declarations)
        await connector.warm_up()
        self.connector = WatchedConnector(connector)
        adapters = Adapters(
            microphone=self.room,
            speaker=self.engine.speaker if self.engine else Loudspeaker(),
            engine=self.engine.run if self.engine else None,
            wake=lambda: self.room,
            voice=LevelVoiceDetector,
            light=Light(),
            button=None,
            connector=self.connector,
            tokens=WarmToken(self.token),
            usage=FakeStore(),
            limitations=FakeStore(),
            registry=registry,
            manager=Manager(),
            wake_in_thread=False,
        )
        appliance = Appliance(settings, adapters, Observers(on_moment=self._see))
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(appliance.run())
            try:
                yield appliance
            finally:
                appliance.stop()
            await running

    def _see(self, moment: Moment) -> None:
        self.moments.append(moment)
        self.on_moment(moment)

    def at(self, event: type, after: float = 0.0) -> float | None:
        """Return when something has first happened since a moment; None: it has not."""
        found = (moment.at for moment in self.moments if isinstance(moment.event, event) and moment.at >= after)
        return next(found, None)


async def until(condition: Callable[[], object], within_s: float = 60.0) -> None:
    """Wait for it; raises TimeoutError."""
    async with asyncio.timeout(within_s):
        while not condition():
            await asyncio.sleep(0.005)


async def reach(appliance: Appliance, *states: State, within_s: float = 60.0) -> None:
    """Wait for a state; raises TimeoutError."""
    await until(lambda: appliance.conversation.context.state in states, within_s)
