"""Scenes of `scripts/bench echo`: a room, a way to deal with the echo, and people who speak over answers or do not."""

from dataclasses import dataclass, replace
from enum import Enum
from typing import Final

import numpy as np

from appliance.audio.echo.canceller import CancellerState
from appliance.audio.echo.handling import EchoHandling
from appliance.audio.echo.modes import Aec
from appliance.audio.echo.path import EchoPath
from appliance.audio.echo.status import EchoStatus
from appliance.audio.echo.webrtc import WebrtcSuppressor
from appliance.audio.ports import Block
from appliance.audio.resample import Resampler
from appliance.core.state import BargeIn
from appliance.simulator.in_memory_server import SimulatedService
from appliance.simulator.model.replies import Reply
from appliance.simulator.options import SimulatorOptions
from appliance.simulator.room.room import Room, RoomOptions
from appliance.units import REPLY, UPLINK, Pcm, SampleIndex, Seconds
from appliance.voice.models import load
from appliance.voice.ports import VoiceDetector
from appliance.voice.scripted import ScriptedVoiceDetector
from appliance.voice.silero import SileroVoiceDetector
from tests.benchmarks.echo_speech import speech
from tests.benchmarks.echo_talk import Answer, Talk
from tests.clock import run_virtual
from tests.support.room_home import RoomHome
from tests.support.simulated_home import settings_with

TRANSPORT_S: Final = 0.135
"""To the service and back: with its own processing, 270 ms."""
PPM: Final = 20.0


class Arrangement(Enum):
    """A way to deal with the echo."""

    CASCADE = "cascade"
    """The appliance's own, as `aec = webrtc` has it."""
    NOTHING = "nothing"
    """The microphone is sent as it is, and the service decides."""
    HALF_DUPLEX = "half_duplex"
    """Nothing is sent over a reply."""
    AEC3_ALONE = "aec3_alone"
    """AEC3 without a linear canceller and without a voice detector on the device; the service decides."""


@dataclass(frozen=True, slots=True)
class Scene:
    """A number of answers in one room."""

    arrangement: Arrangement
    count: int
    """Answers that are spoken over, or answers, where nobody speaks over any."""
    seed: int
    over_echo_db: float | None = None
    """Level of whoever speaks over the answers, relative to the echo; None: nobody does."""
    television: bool = False

    @property
    def spoken_over(self) -> list[bool]:
        """Which answers are spoken over: two of three, as the daemon mistrusts who interrupts one after the other."""
        if self.over_echo_db is None:
            return [False] * self.count
        return [bool(number % 3) for number in range(self.count * 3 // 2 + 1)]


@dataclass(frozen=True, slots=True)
class Outcome:
    """Fate of the answers of one scene."""

    scene: Scene
    answers: list[Answer]
    played_s: float


class Aec3Path(EchoPath):
    """AEC3 alone: it finds delay and drift by itself, and is given what is played as it comes."""

    def __init__(self) -> None:
        super().__init__(REPLY)
        self._aec3 = WebrtcSuppressor()
        self._far_resampler = Resampler(REPLY, UPLINK.rate_hz)
        self._far_end: Pcm = np.zeros(0, np.int16)

    @property
    def status(self) -> EchoStatus:
        return EchoStatus(CancellerState.CONVERGED)

    def played(self, samples: Pcm, audible_at: Seconds) -> None:
        del audible_at
        self._far_end = np.concatenate((self._far_end, self._far_resampler.feed(samples)))

    def captured(self, block: Block) -> list[Block]:
        reference: Pcm = np.zeros(len(block.samples), np.int16)
        ready = self._far_end[: len(reference)]
        reference[: len(ready)] = ready
        self._far_end = self._far_end[len(ready) :]
        late = self._aec3.delay
        captured_at = Seconds(block.captured_at - UPLINK.duration(late))
        start = SampleIndex(block.start - late)
        clean = self._aec3.process(block.samples, reference)
        return [Block(start, clean, captured_at)] if start >= 0 else []


def voice_detector() -> VoiceDetector:
    """Return the detector of the device, which is that of the service as well."""
    return SileroVoiceDetector(load())


def play(scene: Scene) -> Outcome:
    """Play one scene through, in virtual time."""
    return run_virtual(lambda: _play(scene))


async def _play(scene: Scene) -> Outcome:
    material = speech()
    at = 7 * scene.seed % len(material.replies)
    replies = (*material.replies[at:], *material.replies[:at])
    options = SimulatorOptions(
        replies=tuple(Reply(audio, text="an answer", question="a question") for audio in replies),
        voice_detector=voice_detector,
    )
    room = Room(RoomOptions(ppm=PPM, seed=scene.seed), material.television if scene.television else None)
    talk = Talk(scene.seed, scene.over_echo_db or 0.0, material)
    async with SimulatedService(options) as service:
        home = replace(_home(scene.arrangement, service, room), on_moment=talk.see, transport_s=TRANSPORT_S)
        async with home.living() as appliance:
            await talk.hold(home, appliance, scene.spoken_over)
    return Outcome(scene, talk.answers, talk.played_s)


def _home(arrangement: Arrangement, service: SimulatedService, room: Room) -> RoomHome:
    settings = settings_with(conversation={"longest_s": 3600, "follow_up_s": 20})
    nobody = lambda: ScriptedVoiceDetector(())  # noqa: E731
    match arrangement:
        case Arrangement.CASCADE:
            path = EchoPath(REPLY, WebrtcSuppressor())
            return RoomHome(service, settings, room, path, voice=voice_detector)
        case Arrangement.NOTHING:
            return RoomHome(service, settings, room, None, EchoHandling(Aec.OFF, BargeIn.VOICE), voice=nobody)
        case Arrangement.HALF_DUPLEX:
            handling = EchoHandling(Aec.HALF_DUPLEX, BargeIn.WAKE_WORD)
            return RoomHome(service, settings, room, None, handling, voice=voice_detector)
        case Arrangement.AEC3_ALONE:
            return RoomHome(service, settings, room, Aec3Path(), voice=nobody)
