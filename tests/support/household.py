"""The whole daemon in virtual time: every part is the real one, only the ports' far ends are in memory."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np

from appliance.adapters import Adapters
from appliance.audio.echo.handling import EchoHandling
from appliance.audio.echo.status import EchoStatus
from appliance.audio.ports import Block
from appliance.button.ports import ButtonEdge
from appliance.config.load import load
from appliance.core.state import Mode, State
from appliance.daemon import Appliance
from appliance.errors import GpioError, LinkError, MicrophoneError
from appliance.indicator.ports import Look
from appliance.live.messages import ReplyAudio
from appliance.live.ports import LiveToken, OptionalFeature, Request
from appliance.observers import Observers
from appliance.provisioning.device.await_enrolment import EnrolmentAwaitingTokens
from appliance.tools.builtin import builtin
from appliance.tools.registry import Function, Registry
from appliance.units import Pcm, SampleIndex, Seconds
from appliance.voice.level import LevelVoiceDetector
from appliance.voice.ports import VoiceDetector
from appliance.wake.ports import WakeEngine
from appliance.wake.scripted import ScriptedEngine
from tests.support.live import FakeLink, FakeStore, FakeTokens
from tests.support.speaker import TimedSpeaker
from tests.support.uplink import stream

WORD = 16_000
TONE = ReplyAudio((np.sin(np.arange(24_000) / 20) * 8000).astype("<i2").tobytes())
"""One second."""

PERIOD = 320


class Microphone:
    """A stream whose samples tell their index; fails while ``broken``, delivers nothing while ``silent``."""

    def __init__(self) -> None:
        self.broken = False
        self.next = 0
        self.silent = False

    async def run(self, on_block: Callable[[Block], None]) -> None:
        loop = asyncio.get_running_loop()
        begun_at, begin = loop.time(), self.next
        while True:
            captured_at = begun_at + (self.next + PERIOD - begin) / 16_000
            await asyncio.sleep(captured_at - loop.time())
            if self.broken:
                raise MicrophoneError("unplugged")
            block = Block(SampleIndex(self.next), stream(self.next, self.next + PERIOD), Seconds(captured_at))
            self.next += PERIOD
            if not self.silent:
                on_block(block)


class Button:
    """Edges on demand."""

    def __init__(self) -> None:
        self.on_edge: Callable[[ButtonEdge], None] = lambda _: None
        self.failures: list[str] = []
        """Errors of the next tries to claim its pin."""

    async def run(self, on_edge: Callable[[ButtonEdge], None], on_ready: Callable[[], None]) -> None:
        if self.failures:
            raise GpioError(self.failures.pop(0))
        self.on_edge = on_edge
        on_ready()
        await asyncio.get_running_loop().create_future()


class Light:
    """Remembers the states that it showed, and when."""

    def __init__(self) -> None:
        self.shown: list[tuple[float, State]] = []
        self.failures: list[str] = []
        """Errors of the next tries to claim its pins."""
        self._broken: asyncio.Future[None] | None = None

    async def run(self, on_ready: Callable[[], None]) -> None:
        if self.failures:
            raise GpioError(self.failures.pop(0))
        self._broken = asyncio.get_running_loop().create_future()
        on_ready()
        await self._broken

    def fail(self, *failures: str) -> None:
        """Break now, if it runs, and at the next tries with the rest of ``failures``."""
        first, *self.failures = failures
        if self._broken is not None and not self._broken.done():
            self._broken.set_exception(GpioError(first))

    def show(self, look: Look) -> None:
        if not self.shown or self.shown[-1][1] is not look.state:
            self.shown.append((asyncio.get_running_loop().time(), look.state))


@dataclass
class Manager:
    """A service manager that writes down what it hears."""

    watchdog_s: float | None = 4.0
    said: list[str] = field(default_factory=list)

    def ready(self) -> None:
        self.said.append("ready")

    def status(self, text: str) -> None:
        self.said.append(f"status {text}")

    def watchdog(self) -> None:
        self.said.append("watchdog")

    def stopping(self) -> None:
        self.said.append("stopping")


class HearingLink(FakeLink):
    """Keeps what it is sent."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: list[Pcm] = []
        self.marks: list[str] = []

    async def send_audio(self, pcm: bytes) -> None:
        self.heard.append(np.frombuffer(pcm, "<i2"))

    async def send_activity_start(self) -> None:
        self.marks.append(f"start at {self.samples}")

    async def send_activity_end(self) -> None:
        self.marks.append(f"end at {self.samples}")

    @property
    def samples(self) -> int:
        return sum(map(len, self.heard))

    @property
    def audio(self) -> Pcm:
        return np.concatenate([np.zeros(0, np.int16), *self.heard])


@dataclass
class Connector:
    """Opens links after ``open_s``; closing one takes ``close_s``."""

    open_s: float = 0.1
    close_s: float = 0.0
    error: LinkError | None = None
    links: list[HearingLink] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)

    @property
    def modes(self) -> list[Mode]:
        return [request.mode for request in self.requests]

    def optional_features(self, model: str, request: Request) -> frozenset[OptionalFeature]:
        return frozenset()

    def config_hash(self, model: str) -> str:
        return model

    @asynccontextmanager
    async def open(self, token: LiveToken, request: Request) -> AsyncIterator[HearingLink]:
        await asyncio.sleep(self.open_s)
        if self.error:
            raise self.error
        self.links.append(HearingLink())
        self.requests.append(request)
        try:
            yield self.links[-1]
        finally:
            await asyncio.sleep(self.close_s)


@dataclass
class Household:
    """The daemon and everything around it."""

    words: tuple[int, ...] = ()
    """Samples at which the wake word ends."""
    microphone: Microphone = field(default_factory=Microphone)
    speaker: TimedSpeaker = field(default_factory=TimedSpeaker)
    button: Button = field(default_factory=Button)
    light: Light = field(default_factory=Light)
    manager: Manager = field(default_factory=Manager)
    tokens: FakeTokens = field(default_factory=FakeTokens)
    connector: Connector = field(default_factory=Connector)
    usage: FakeStore = field(default_factory=FakeStore)
    tools: tuple[Function, ...] = ()
    """Beside the built-in ones."""
    settings: dict[str, dict[str, object]] = field(default_factory=dict)
    wake: Callable[[], WakeEngine] | None = None
    """Loads something else than what hears ``words``."""
    voice: Callable[[], VoiceDetector] = LevelVoiceDetector
    """Loads what hears speech: here, what is loud."""
    wake_in_thread: bool = False
    echo: EchoStatus | None = None
    echo_handling: EchoHandling = field(default_factory=EchoHandling)
    awaited: EnrolmentAwaitingTokens | None = None
    """Where tokens come from instead, once the device is enrolled."""

    @asynccontextmanager
    async def living(self) -> AsyncIterator[Appliance]:
        """Run the daemon until the block ends; stop it if nobody has."""
        settings = load([], self.settings).settings
        daemon: list[Appliance] = []

        def end() -> None:
            daemon[0].end_conversation()

        def forget() -> None:
            daemon[0].forget()

        registry = Registry((*builtin(_no_clock, end, lambda _: None, forget), *self.tools), settings.tools)
        adapters = Adapters(
            microphone=self.microphone,
            speaker=self.speaker,
            wake=self.wake or (lambda: ScriptedEngine(self.words)),
            voice=self.voice,
            light=self.light,
            button=self.button,
            connector=self.connector,
            tokens=self.awaited or self.tokens,
            enrolment=None if self.awaited is None else self.awaited.run,
            usage=self.usage,
            limitations=FakeStore(),
            registry=registry,
            manager=self.manager,
            wake_in_thread=self.wake_in_thread,
            echo=lambda: self.echo,
            echo_handling=self.echo_handling,
        )
        daemon.append(Appliance(settings, adapters, Observers()))
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(daemon[0].run())
            yield daemon[0]
            if not running.done():
                daemon[0].stop()
            await running

    @property
    def link(self) -> HearingLink:
        return self.connector.links[-1]


def _no_clock() -> datetime:
    raise AssertionError("nobody asks for the time here")


async def reach(appliance: Appliance, state: State, within_s: float = 30.0) -> None:
    """Wait for a state."""
    async with asyncio.timeout(within_s):
        while appliance.conversation.context.state is not state:
            await asyncio.sleep(0.01)


def woken(**settings: dict[str, object]) -> Household:
    return Household(words=(WORD,), settings=settings)
