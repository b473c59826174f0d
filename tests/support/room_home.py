"""The whole daemon in a simulated room, in virtual time: what it plays reaches its microphone."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial

from appliance.adapters import Adapters
from appliance.audio.echo.handling import EchoHandling
from appliance.audio.echo.modes import Aec
from appliance.audio.echo.path import EchoPath
from appliance.audio.ports import Block
from appliance.config.schema import Settings
from appliance.conversation import Moment
from appliance.core.state import BargeIn
from appliance.daemon import Appliance
from appliance.observers import Observers
from appliance.simulator.in_memory_server import SimulatedService
from appliance.simulator.room.devices import EchoRemover, RoomMicrophone, RoomSpeaker
from appliance.simulator.room.room import Room
from appliance.tools.registry import Function, Registry
from appliance.units import Pcm, SampleIndex, Seconds
from appliance.voice.level import LevelVoiceDetector
from appliance.voice.ports import VoiceDetector
from appliance.wake.ports import Detection, Score, WakeEngine
from tests.support.household import Button, Light, Manager
from tests.support.live import FakeStore
from tests.support.running_daemon import running_daemon
from tests.support.simulated_link import SimulatedConnector, SimulatedTokens, relayed


class Called:
    """A wake engine that hears the word on `call`."""

    def __init__(self) -> None:
        self._words = 0

    def call(self) -> None:
        """Let the word end with the next block."""
        self._words += 1

    def feed(self, start: SampleIndex, samples: Pcm) -> tuple[list[Detection], list[Score]]:
        words, self._words = self._words, 0
        return [Detection("word", SampleIndex(start + len(samples)), 1.0)] * words, []

    def contains(self, recording: Pcm) -> bool:
        del recording
        return False


class PlayedTap:
    """Passes to the echo path what is played and captured, and tells of what is played."""

    def __init__(self, echo_path: EchoRemover | None, on_played: Callable[[Pcm, float], None]) -> None:
        self._echo_path = echo_path
        self._on_played = on_played

    def played(self, samples: Pcm, audible_at: Seconds) -> None:
        self._on_played(samples, audible_at)
        if self._echo_path is not None:
            self._echo_path.played(samples, audible_at)

    def captured(self, block: Block) -> list[Block]:
        return [block] if self._echo_path is None else self._echo_path.captured(block)


@dataclass
class RoomHome:
    """The daemon, a room and a service."""

    service: SimulatedService
    settings: Settings
    room: Room
    echo_path: EchoPath | None = None
    handling: EchoHandling = field(default_factory=lambda: EchoHandling(Aec.WEBRTC, BargeIn.VOICE))
    wake: WakeEngine | None = None
    """None: the word is heard on `call`."""
    voice: Callable[[], VoiceDetector] = LevelVoiceDetector
    transport_s: float = 0.0
    """To the service, and back."""
    on_moment: Callable[[Moment], None] = lambda _: None
    on_played: Callable[[Pcm, float], None] = lambda _samples, _audible_at: None
    on_block: Callable[[Block], None] = lambda _: None
    called: Called = field(default_factory=Called)

    def __post_init__(self) -> None:
        self.connector = SimulatedConnector(self.service)
        if self.transport_s:
            self.connector.through = partial(relayed, delay_s=self.transport_s)

    def call(self) -> None:
        """Say the wake word, which ends now."""
        self.called.call()

    @asynccontextmanager
    async def living(self) -> AsyncIterator[Appliance]:
        """Run the daemon until the block ends."""
        observers = Observers(on_moment=self.on_moment, on_block=self.on_block)
        async with running_daemon(self.settings, self._adapters, observers) as appliance:
            yield appliance

    def _adapters(self, own: Sequence[Function]) -> Adapters:
        engine: WakeEngine = self.wake or self.called
        tap = PlayedTap(self.echo_path, self.on_played)
        return Adapters(
            microphone=RoomMicrophone(self.room, tap),
            speaker=RoomSpeaker(self.room, tap),
            wake=lambda: engine,
            voice=self.voice,
            light=Light(),
            button=Button(),
            connector=self.connector,
            tokens=SimulatedTokens(self.service),
            usage=FakeStore(),
            limitations=FakeStore(),
            echo=lambda: None if self.echo_path is None else self.echo_path.status,
            echo_handling=self.handling,
            registry=Registry(own, self.settings.tools),
            manager=Manager(),
            wake_in_thread=False,
        )
