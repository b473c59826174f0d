"""The wake word beside a loudspeaker: said by people over an answer, and by the appliance itself."""

import asyncio
from dataclasses import dataclass, replace
from functools import partial
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
from tests.benchmarks.echo_path import pass_through
from tests.benchmarks.echo_scenes import PPM, TRANSPORT_S, voice_detector
from tests.benchmarks.echo_speech import RECORDINGS, read, speech
from tests.clock import run_virtual
from tests.support.household import reach
from tests.support.room_home import RoomHome
from tests.support.simulated_home import settings_with

WORD: Final = "alexa"
EVERY_S: Final = 4.0
WORDS: Final = 40
LEARNING_S: Final = 8.0
"""Replies before the first word: the canceller has to have learnt the room."""
DELAYS_S: Final = (0.0, 0.1, 0.25, 0.4, 0.6)
LEVELS_DB: Final = (-6.0, -10.0, -20.0)
LONGEST_S: Final = 60.0


def recorded_words() -> list[Pcm]:
    """Return people who say the wake word; none without the recordings."""
    return [read(path) for path in sorted((RECORDINGS / "wake" / WORD).glob("*.wav"))]


def percent_heard(over_echo_db: float) -> float:
    """Return how many of the words said over an answer are detected in the linear stream."""
    words = recorded_words()[:: len(recorded_words()) // WORDS][:WORDS]
    said_at = [LEARNING_S + number * EVERY_S for number in range(len(words))]
    replies = speech().replies
    seconds = said_at[-1] + EVERY_S
    played = np.concatenate([replies[number % len(replies)] for number in range(int(seconds // 6) + 1)])
    room, begins = Room(RoomOptions(ppm=PPM)), list[int]()

    def say(word: Pcm, there: Room) -> None:
        begins.append(there.say(word, over_echo_db=over_echo_db))

    happenings = {at: partial(say, word) for at, word in zip(said_at, words, strict=True)}
    passed = pass_through(room, EchoPath(REPLY, WebrtcSuppressor()), played, happenings)
    ends = detections(passed.linear)
    heard = [any(begin < end < begin + UPLINK.frames(EVERY_S - 0.5) for end in ends) for begin in begins]
    return 100 * float(np.mean(heard))


def detections(samples: Pcm) -> list[int]:
    """Return where the wake word ends in a stream, as the daemon detects it."""
    engine = OpenWakeWordEngine(load(WORD), rule_for(WORD, None, 0.5))
    hop = 1280
    pieces = range(0, len(samples) - hop + 1, hop)
    return [one.end_sample for at in pieces for one in engine.feed(SampleIndex(at), samples[at : at + hop])[0]]


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
