"""The whole daemon in virtual time, against a simulated service; everything but its far ends is the real thing."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Final

import numpy as np

from appliance.adapters import Adapters
from appliance.audio.playback.mixer import RingMixer
from appliance.audio.ports import Block, PlaybackSink
from appliance.config.load import load
from appliance.config.schema import Settings
from appliance.conversation import Moment
from appliance.core.state import NOT_SENDING
from appliance.daemon import Appliance
from appliance.errors import MicrophoneError, SpeakerError
from appliance.observers import Observers
from appliance.simulator.in_memory_server import SimulatedService
from appliance.tools.registry import Function, Registry
from appliance.units import UPLINK, Pcm, SampleIndex, Seconds
from appliance.voice.level import LevelVoiceDetector
from appliance.voice.ports import VoiceDetector
from appliance.wake.ports import Detection, Score
from tests.support.household import Button, Light, Manager
from tests.support.live import FakeStore
from tests.support.running_daemon import running_daemon
from tests.support.simulated_link import SimulatedConnector, SimulatedTokens

PERIOD: Final = 1280
"""Frames in a period of the microphone: many, for the sake of speed."""


# The room


@cache
def _noise() -> Pcm:
    """Four minutes in which no stretch is like another."""
    return np.random.default_rng(7).integers(-(1 << 15), 1 << 15, 3277 * PERIOD, dtype=np.int16)


class Room:
    """A microphone, and somebody who speaks now and then; fails while ``unplugged``."""

    def __init__(self) -> None:
        self.next = 0
        self.unplugged = False
        self.words: list[int] = []
        """Where the wake word ends; add to the end."""
        self.replies_have_word = False
        """Whether what the appliance plays contains the wake word."""
        self._speech: list[tuple[int, int]] = []
        self._recorded: list[bytes] = []
        self.echo: Callable[[float, int], Pcm] | None = None
        """Returns what is heard of the speaker from a moment of the loop's time on."""

    def speak(self, seconds: float, *, after_s: float = 0.0) -> None:
        """Speak, from so long after now on."""
        begin = self.next + UPLINK.frames(after_s)
        self._speech.append((begin, begin + UPLINK.frames(seconds)))

    def call(self) -> None:
        """Say the wake word, which ends at the end of the next period."""
        self.words.append(self.next + PERIOD)

    def ask(self, seconds: float) -> None:
        """Say the wake word, and 0.3 s later a question of this length."""
        self.call()
        self.speak(seconds, after_s=0.3)

    @property
    def recorded(self) -> bytes:
        """All samples since the beginning, s16le."""
        return b"".join(self._recorded)

    async def run(self, on_block: Callable[[Block], None]) -> None:
        loop = asyncio.get_running_loop()
        begun_at, begin = loop.time(), self.next
        while True:
            captured_at = begun_at + (self.next + PERIOD - begin) / UPLINK.rate_hz
            await asyncio.sleep(captured_at - loop.time())
            if self.unplugged:
                raise MicrophoneError("unplugged")
            samples = self._samples()
            if self.echo is not None:
                began_at = captured_at - PERIOD / UPLINK.rate_hz
                samples = np.clip(samples.astype(np.int32) + self.echo(began_at, PERIOD), -32768, 32767).astype(
                    np.int16
                )
            block = Block(SampleIndex(self.next), samples, Seconds(captured_at))
            self._recorded.append(block.samples.tobytes())
            self.next += PERIOD
            on_block(block)

    def _samples(self) -> Pcm:
        begin, end = self.next, self.next + PERIOD
        at = begin % len(_noise())
        noise = _noise()[at : at + PERIOD]
        samples: Pcm = noise >> 13
        for start, stop in self._speech:
            loud = slice(max(start, begin) - begin, max(0, min(stop, end) - begin))
            samples[loud] = noise[loud] >> 2
        return samples

    # The wake-word engine

    def feed(self, start: SampleIndex, samples: Pcm) -> tuple[list[Detection], list[Score]]:
        end = start + len(samples)
        heard = [word for word in self.words[-2:] if start < word <= end]
        return [Detection("word", SampleIndex(word), 1.0) for word in heard], []

    def contains(self, recording: Pcm) -> bool:
        return self.replies_have_word and bool(recording.any())


class Loudspeaker:
    """Pulls 100 ms at a time and remembers them; fails while unplugged."""

    FRAMES: Final = 2400

    def __init__(self) -> None:
        self._periods: list[Pcm] = []
        self.begun_at: list[float] = []
        """When each period is heard."""
        self._unplugged = False
        self._running: asyncio.Timeout | None = None

    def unplug(self) -> None:
        self._unplugged = True
        if self._running is not None:
            self._running.reschedule(asyncio.get_running_loop().time())

    def plug_in(self) -> None:
        self._unplugged = False

    def periods(self, first: int, stop: int) -> Pcm:
        return np.concatenate([np.zeros(0, np.int16), *self._periods[first:stop]])

    @property
    def heard(self) -> bytes:
        return b"".join(period.tobytes() for period in self._periods)

    async def run(self, playback: PlaybackSink) -> None:
        try:
            async with asyncio.timeout(None) as self._running:
                await self._play(playback)
        except TimeoutError:
            raise SpeakerError("unplugged") from None
        finally:
            self._running = None

    async def _play(self, playback: PlaybackSink) -> None:
        if self._unplugged:
            raise SpeakerError("unplugged")
        loop = asyncio.get_running_loop()
        due = loop.time()
        mixer = RingMixer(playback.played)
        playback.connect(mixer, Seconds(due))
        try:
            while True:
                await asyncio.sleep(due - loop.time())
                self.begun_at.append(due)
                self._periods.append(mixer.pull(self.FRAMES, Seconds(due)))
                playback.heartbeat()
                due += self.FRAMES / 24_000
        finally:
            playback.disconnect()


# The household


def settings_with(**sections: Mapping[str, object]) -> Settings:
    """As they come, but for these; at full volume, so that what is played can be recognised."""
    return load([], {"speaker": {"kind": "alsa", "volume": 1.0}, **sections}).settings


@dataclass
class Home:
    """The daemon and everything around it."""

    service: SimulatedService
    settings: Settings
    on_moment: Callable[[Moment], None] = lambda _: None
    tools: tuple[Function, ...] = ()
    room: Room = field(default_factory=Room)
    speaker: Loudspeaker = field(default_factory=Loudspeaker)
    button: Button = field(default_factory=Button)
    light: Light = field(default_factory=Light)
    voice: Callable[[], VoiceDetector] = LevelVoiceDetector
    """Loads what hears speech: here, what is loud."""
    adapt: Callable[[Adapters], Adapters] = lambda adapters: adapters
    """Replaces some of them."""

    def __post_init__(self) -> None:
        self.connector = SimulatedConnector(self.service, on_audio=self._check_light)
        self.tokens = SimulatedTokens(self.service)

    def _check_light(self) -> None:
        """Hold, in every test, that no sample leaves while the light says that none does."""
        assert self.light.shown[-1][1] not in NOT_SENDING, "samples leave while the light shows a resting state"

    def cure(self, service: SimulatedService) -> None:
        """From now on there is this service, and tokens for it at once."""
        self.connector.service = self.tokens.service = service
        self.tokens.delay_s = 0.05

    @asynccontextmanager
    async def living(self) -> AsyncIterator[Appliance]:
        """Run the daemon until the block ends."""
        observers = Observers(on_moment=lambda moment: self.on_moment(moment))  # noqa: PLW0108  it may be another later
        async with running_daemon(self.settings, lambda own: self.adapt(self._adapters(own)), observers) as appliance:
            yield appliance

    def _adapters(self, own: Sequence[Function]) -> Adapters:
        return Adapters(
            microphone=self.room,
            speaker=self.speaker,
            wake=lambda: self.room,
            voice=self.voice,
            light=self.light,
            button=self.button,
            connector=self.connector,
            tokens=self.tokens,
            usage=FakeStore(),
            limitations=FakeStore(),
            registry=Registry((*own, *self.tools), self.settings.tools),
            manager=Manager(),
            wake_in_thread=False,
        )
