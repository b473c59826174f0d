"""The whole daemon in a room, with a canceller in the microphone's way: it answers people, and not itself."""

import asyncio
import importlib.util
import shutil
import subprocess
from dataclasses import dataclass, field, replace
from functools import cache

import numpy as np
import pytest

from appliance import app
from appliance.audio.echo.handling import EchoHandling
from appliance.audio.echo.modes import Aec
from appliance.audio.echo.path import EchoPath
from appliance.audio.echo.webrtc import WebrtcSuppressor
from appliance.audio.resample import Resampler
from appliance.audio.sounds import PhrasesOnly
from appliance.conversation import Moment
from appliance.core.events import ReplyStarted, Trouble, WakeDetected
from appliance.core.state import BargeIn, State
from appliance.daemon import Appliance
from appliance.simulator.in_memory_server import SimulatedService
from appliance.simulator.model.replies import Reply
from appliance.simulator.options import SimulatorOptions
from appliance.simulator.room.devices import RoomMicrophone, RoomSpeaker
from appliance.simulator.room.room import SPEECH_DBFS, Room, RoomOptions
from appliance.units import REPLY, UPLINK, AudioFormat, Hz, Pcm, SampleIndex
from appliance.voice.level import LevelVoiceDetector
from appliance.wake.detector import rule_for
from appliance.wake.models import load
from appliance.wake.openwakeword import OpenWakeWordEngine
from appliance.wake.ports import Detection, Score, WakeEngine
from appliance.wake.scripted import ScriptedEngine
from tests.clock import run_virtual
from tests.support.household import reach
from tests.support.simulated_home import Home, settings_with

pytest.importorskip("pywebrtc_audio", reason="the extra device is not installed")


@cache
def sentence(trouble: Trouble) -> Pcm:
    phrase = PhrasesOnly().phrase(trouble)
    assert phrase is not None
    return phrase


@cache
def at_16_khz(trouble: Trouble) -> Pcm:
    resampler = Resampler(REPLY, UPLINK.rate_hz)
    return np.concatenate((resampler.feed(sentence(trouble)), resampler.finish()))


REPLIES = tuple(Reply(sentence(trouble), text="a", question="b") for trouble in (Trouble.CAP_SESSION, Trouble.NETWORK))


class Engine:
    """Hears the wake word in the block after `call`, and what ``other`` hears."""

    def __init__(self, other: WakeEngine | None = None) -> None:
        self.called = False
        self._other = other or ScriptedEngine(())

    def call(self) -> None:
        self.called = True

    def feed(self, start: SampleIndex, samples: Pcm) -> tuple[list[Detection], list[Score]]:
        called, self.called = self.called, False
        detections, scores = self._other.feed(start, samples)
        own = [Detection("word", SampleIndex(start + len(samples)), 1.0)] if called else []
        return own + detections, scores

    def contains(self, recording: Pcm) -> bool:
        return self._other.contains(recording)


@dataclass
class Talk:
    """One question, some more after each answer, and what became of them."""

    delay_s: float
    level_db: float
    """The echo, against what is played."""
    barge_in: BargeIn = BargeIn.WAKE_WORD
    follow_ups: int = 0
    pause_s: float = 0.4
    answers: int = 0
    replies: tuple[Reply, ...] = REPLIES
    engine: Engine = field(default_factory=Engine)
    is_cancelled: bool = True
    awoken: int = 0
    lost: list[int] = field(default_factory=list)
    """Samples at the beginning of each follow-up question that were not sent."""

    def held(self) -> "Talk":
        """Hold it."""
        run_virtual(self._hold)
        return self

    async def _hold(self) -> None:
        room = Room(RoomOptions(delay_s=self.delay_s, echo_dbfs=SPEECH_DBFS + self.level_db, ppm=20.0))
        path, engine = EchoPath(REPLY, WebrtcSuppressor()) if self.is_cancelled else None, self.engine
        async with SimulatedService(SimulatorOptions(replies=self.replies)) as service:
            voice = app.voice_detector if self.is_cancelled else LevelVoiceDetector
            home = Home(service, settings_with(), on_moment=self._see, voice=voice)
            home.adapt = lambda adapters: replace(
                adapters,
                microphone=RoomMicrophone(room, path),
                speaker=RoomSpeaker(room, path),
                wake=lambda: engine,
                echo=lambda: None if path is None else path.status,
                echo_handling=EchoHandling(Aec.WEBRTC if path else Aec.HALF_DUPLEX, self.barge_in),
            )
            async with home.living() as appliance:
                await reach(appliance, State.IDLE)
                engine.call()
                self._speak(room, 0.3)
                await reach(appliance, State.CONNECTING)
                for number in range(1, self.follow_ups + 1):
                    await self._answered(appliance, number)
                    begin = self._speak(room, self.pause_s)
                    await asyncio.sleep(self.pause_s + 2.0)
                    sent_from = min(start for start, stop in appliance.uplink.counts.spans if stop > begin)
                    self.lost.append(max(0, sent_from - begin))
                await reach(appliance, State.IDLE, 120.0)

    def _speak(self, room: Room, after_s: float) -> SampleIndex:
        """Ask a question of two seconds, and return the sample with which it begins."""
        words = at_16_khz(Trouble.SERVICE)
        return room.say(words[: UPLINK.frames(2.0)], over_echo_db=-30.0 - self.level_db - SPEECH_DBFS, after_s=after_s)

    def _see(self, moment: Moment) -> None:
        self.answers += isinstance(moment.event, ReplyStarted)
        self.awoken += isinstance(moment.event, WakeDetected)

    async def _answered(self, appliance: Appliance, number: int) -> None:
        while self.answers < number:
            await asyncio.sleep(0.02)
        await reach(appliance, State.LISTENING, 30.0)


def rare(*values: object) -> list[object]:
    """Return parameters of the slow run."""
    return [pytest.param(value, marks=pytest.mark.slow) for value in values]


@pytest.mark.parametrize("barge_in", [BargeIn.VOICE, *rare(BargeIn.WAKE_WORD)])
@pytest.mark.parametrize("delay_s", [*rare(0.0, 0.1, 0.25), 0.6])
@pytest.mark.parametrize("level_db", [-6, *rare(-10, -20)])
def test_one_question_has_one_answer(delay_s: float, level_db: float, barge_in: BargeIn):
    assert Talk(delay_s, level_db, barge_in).held().answers == 1


@pytest.mark.parametrize("barge_in", [*rare(BargeIn.VOICE), BargeIn.WAKE_WORD])
@pytest.mark.parametrize("follow_ups", [1, *rare(3)])
@pytest.mark.parametrize("pause_s", [*rare(0.1), 0.4])
@pytest.mark.parametrize("delay_s", [*rare(0.0), 0.25, *rare(0.6)])
def test_questions_after_an_answer_are_heard_and_answered(delay_s, pause_s, follow_ups, barge_in):
    talk = Talk(delay_s, -10, barge_in, follow_ups=follow_ups, pause_s=pause_s).held()
    assert talk.answers == 1 + follow_ups
    assert max(talk.lost) <= 0.05 * 16_000


@cache
def replies_with(word: str) -> tuple[Reply, ...]:
    """Return an answer that says the wake word three times, 24 kHz."""
    words = f"I am always here for you. You only have to say: {word}. Then I listen. {word}, yes. {word}!"
    said = subprocess.run(["espeak-ng", "-v", "en-gb", "-s", "130", "--stdout", words], check=True, capture_output=True)
    spoken = np.frombuffer(said.stdout[44 : len(said.stdout) // 2 * 2], np.int16)
    resampler = Resampler(AudioFormat(Hz(22_050)), REPLY.rate_hz)
    return (Reply(np.concatenate((resampler.feed(spoken), resampler.finish())), text="a", question="b"),)


@pytest.mark.skipif(
    shutil.which("espeak-ng") is None or importlib.util.find_spec("openwakeword") is None,
    reason="espeak-ng or the extra device is not installed",
)
@pytest.mark.parametrize("is_cancelled", [False, *rare(True)])
@pytest.mark.parametrize("delay_s", [*rare(0.0), 0.25, *rare(0.6)])
@pytest.mark.parametrize("level_db", [-6, *rare(-20)])
def test_an_answer_that_says_the_wake_word_does_not_interrupt_itself(delay_s, level_db, is_cancelled, caplog):
    caplog.set_level("INFO")
    engine = Engine(OpenWakeWordEngine(load("hey_rhasspy"), rule_for("hey_rhasspy")))
    talk = Talk(delay_s, level_db, replies=replies_with("hey rhasspy"), engine=engine, is_cancelled=is_cancelled)
    assert (talk.held().answers, talk.awoken) == (1, 1)
    ignored = [record for record in caplog.records if record.getMessage().startswith("wake.ignored")]
    assert ignored or is_cancelled, "the microphone did not hear the word"
