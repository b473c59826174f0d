"""The wake word beside a loudspeaker: said by people over an answer, and by the appliance itself."""

import asyncio
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from appliance.audio.echo.path import EchoPath
from appliance.audio.echo.webrtc import WebrtcSuppressor
from appliance.audio.resample import Resampler
from appliance.conversation import Moment
from appliance.core.events import ReplyStarted, WakeDetected
from appliance.core.state import State
from appliance.simulator.in_memory_server import SimulatedService
from appliance.simulator.model.replies import Reply
from appliance.simulator.options import SimulatorOptions
from appliance.simulator.room.levels import at_level
from appliance.simulator.room.room import SPEECH_DBFS, Room, RoomOptions
from appliance.units import REPLY, UPLINK, Pcm, SampleIndex
from appliance.wake.detector import rule_for
from appliance.wake.models import load
from appliance.wake.openwakeword import OpenWakeWordEngine
from appliance.wake.ports import Detection, Score
from tests.benchmarks.echo_scenes import PPM, TRANSPORT_S, voice_detector
from tests.benchmarks.echo_speech import RECORDINGS, read, speech
from tests.benchmarks.echo_talk import Talk
from tests.clock import run_virtual
from tests.support.household import reach
from tests.support.room_home import Called, RoomHome
from tests.support.simulated_home import settings_with

WORD: Final = "alexa"
WORDS: Final = 40
SHARES: Final = 2
WITHIN_S: Final = 4.0
"""Longest time from the beginning of a recording to the end of the word in it."""
DELAYS_S: Final = (0.0, 0.1, 0.25, 0.4, 0.6)
LEVELS_DB: Final = (-6.0, -10.0, -20.0)
LONGEST_S: Final = 60.0


def recorded_words() -> list[Pcm]:
    """Return people who say the wake word; none without the recordings."""
    return [read(path) for path in sorted((RECORDINGS / "wake" / WORD).glob("*.wav"))]


class Overhearing(Called):
    """The engine of the daemon, which can be called as well; notes where words end."""

    def __init__(self) -> None:
        super().__init__()
        self._engine = OpenWakeWordEngine(load(WORD), rule_for(WORD))
        self.ends: list[int] = []

    def feed(self, start: SampleIndex, samples: Pcm) -> tuple[list[Detection], list[Score]]:
        called, _ = super().feed(start, samples)
        found, scores = self._engine.feed(start, samples)
        self.ends += [one.end_sample for one in found]
        return called + found, scores

    def contains(self, recording: Pcm) -> bool:
        return self._engine.contains(recording)


def words_heard(over_echo_db: float, share: int) -> list[bool]:
    """Return which words of the ``share``-th part, said over answers, the daemon's engine detects; closed loop."""
    return run_virtual(lambda: _words_heard(over_echo_db, share))


async def _words_heard(over_echo_db: float, share: int) -> list[bool]:
    words = recorded_words()[:: len(recorded_words()) // WORDS][:WORDS][share::SHARES]
    material = replace(speech(), words=tuple(words))
    replies = tuple(Reply(audio, text="an answer", question="a question") for audio in material.replies)
    engine, talk = Overhearing(), Talk(0, over_echo_db, material)
    async with SimulatedService(SimulatorOptions(replies=replies, voice_detector=voice_detector)) as service:
        settings = settings_with(conversation={"longest_s": 3600, "follow_up_s": 20})
        path = EchoPath(REPLY, WebrtcSuppressor())
        home = RoomHome(service, settings, Room(RoomOptions(ppm=PPM)), path, voice=voice_detector, wake=engine)
        home = replace(home, called=engine, on_moment=talk.see, transport_s=TRANSPORT_S)
        async with home.living() as appliance:
            await talk.hold(home, appliance, [False] + [True] * len(words))
    begins = [answer.begin for answer in talk.answers if answer.spoke_at is not None]
    return [any(begin < end < begin + UPLINK.frames(WITHIN_S) for end in engine.ends) for begin in begins]


@dataclass(frozen=True, slots=True)
class Alone:
    """Events while nobody but the appliance spoke."""

    wakes: int
    answers: int
    """Beyond the one that was asked for."""


def left_alone(delay_s: float, level_db: float) -> Alone:
    """Ask one question, to which the answer has the wake word in it; nobody speaks again."""
    return run_virtual(lambda: _left_alone(delay_s, level_db))


async def _left_alone(delay_s: float, level_db: float) -> Alone:
    material, counted = speech(), {"wakes": 0, "answers": 0}

    def see(moment: Moment) -> None:
        counted["wakes"] += isinstance(moment.event, WakeDetected)
        counted["answers"] += isinstance(moment.event, ReplyStarted)

    word = _said_by_itself()
    answer = np.concatenate((material.replies[0][: REPLY.frames(3.0)], word, material.replies[2][: REPLY.frames(2.0)]))
    options = SimulatorOptions(replies=(Reply(answer, text="a", question="b"),), voice_detector=voice_detector)
    room = Room(RoomOptions(ppm=PPM, delay_s=delay_s, echo_dbfs=SPEECH_DBFS + level_db))
    async with SimulatedService(options) as service:
        path = EchoPath(REPLY, WebrtcSuppressor())
        home = RoomHome(service, settings_with(), room, path, voice=voice_detector, transport_s=TRANSPORT_S)
        home = replace(home, wake=OpenWakeWordEngine(load(WORD), rule_for(WORD, None, 2.0)), on_moment=see)
        async with home.living() as appliance:
            await reach(appliance, State.IDLE)
            room.say(recorded_words()[0], over_echo_db=-level_db)
            async with asyncio.timeout(LONGEST_S):
                while not counted["wakes"]:
                    await asyncio.sleep(0.1)
                room.say(material.question, over_echo_db=-level_db)
                while not counted["answers"]:
                    await asyncio.sleep(0.1)
                await reach(appliance, State.IDLE, LONGEST_S)
    return Alone(counted["wakes"] - 1, counted["answers"] - 1)


def _said_by_itself() -> Pcm:
    """Return the wake word in a clear voice, as loud as a reply, 24 kHz."""
    resampler = Resampler(UPLINK, REPLY.rate_hz)
    word = read(RECORDINGS / "speech" / "alexa_test.wav")
    slow = np.concatenate((resampler.feed(word), resampler.finish())) / 32_768
    return np.rint(np.clip(at_level(slow, REPLY, SPEECH_DBFS), -0.9, 0.9) * 32_768).astype(np.int16)
