"""A person who speaks over an answer, with barge-in by voice: it makes way at once, and nothing is lost of either."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import numpy as np

from appliance.conversation import Moment
from appliance.core.events import ServerInterrupted
from appliance.core.latency import Latency
from appliance.core.state import State, Yielding
from appliance.daemon import Appliance
from appliance.simulator.in_memory_server import SimulatedService
from appliance.simulator.model.replies import Reply
from appliance.simulator.options import SimulatorOptions, VoiceActivity
from appliance.units import REPLY, UPLINK, Pcm
from tests.support.household import reach
from tests.support.simulated_home import Home, settings_with
from tests.support.simulator import said

STORY_AUDIO = said(9.0, seed=4)
STORY = Reply(STORY_AUDIO, text="once upon a time there was a voice in a box", question="tell me a story")
DUCKED, PAUSED, NONE = Yielding.DUCKED, Yielding.PAUSED, Yielding.NONE


class Log:
    """Changes of the answer's yielding, one after the other."""

    def __init__(self) -> None:
        self.yieldings: list[Yielding] = []
        self.moments: list[Moment] = []

    def see(self, moment: Moment) -> None:
        self.moments.append(moment)
        if moment.after.yielding is not moment.before.yielding:
            self.yieldings.append(moment.after.yielding)


@asynccontextmanager
async def living(interruption: str = "START_OF_ACTIVITY_INTERRUPTS") -> AsyncIterator[tuple[Home, Appliance, Log]]:
    """Ask for a story, and wait until it has been heard for a second."""
    options = SimulatorOptions(replies=(STORY,), thinking_s=0.8, voice_activity=VoiceActivity.UNSENT)
    async with SimulatedService(options) as service:
        home = Home(service, settings_with(conversation={"barge_in": "voice"}))
        home.connector.interruption = interruption
        home.connector.detection = {"prefixPaddingMs": 300}
        log = Log()
        home.on_moment = log.see
        async with home.living() as appliance:
            await reach(appliance, State.IDLE)
            await asyncio.sleep(0.5)
            home.room.ask(1.2)
            await reach(appliance, State.SPEAKING)
            await asyncio.sleep(1.2)
            yield home, appliance, log


def silences_s(heard: Pcm) -> list[float]:
    """Return how long it was silent, in order; short silences left out."""
    gaps = np.diff(np.flatnonzero(heard)) / REPLY.rate_hz
    return [float(gap) for gap in gaps if gap > 0.1]


async def test_whoever_speaks_over_an_answer_is_heard_from_the_first_word_on():
    async with living() as (home, appliance, log):
        begin = home.room.next
        home.room.speak(2.0)
        await reach(appliance, State.INTERRUPTED)
        assert log.yieldings == [DUCKED, PAUSED, NONE]
        await reach(appliance, State.SPEAKING, 10)
        spans = appliance.uplink.counts.spans
        end = begin + UPLINK.frames(2.0)
        assert any(start <= begin and end <= stop for start, stop in spans), "not one sample is missing"
        [to_duck], [to_pause] = (
            appliance.conversation.stopwatch.durations_ms(latency)
            for latency in (Latency.VOICE_TO_DUCK, Latency.VOICE_TO_PAUSE)
        )
        assert to_duck < 150
        assert to_pause < 500


async def test_what_the_service_does_not_take_for_an_interruption_costs_a_pause_and_no_word():
    async with living("NO_INTERRUPTION") as (home, appliance, log):
        home.room.speak(0.4)
        await reach(appliance, State.LISTENING, 20)
        assert log.yieldings == [DUCKED, PAUSED, NONE]
        heard = np.frombuffer(home.speaker.heard, np.int16)
        assert 0.5 < silences_s(heard)[-1] < 0.9
        rest = len(STORY_AUDIO) // 2
        assert STORY_AUDIO[rest:].tobytes() in heard.tobytes()


async def test_after_two_false_pauses_an_answer_is_only_turned_down():
    async with living("NO_INTERRUPTION") as (home, appliance, log):
        for _ in range(4):
            home.room.speak(0.4)
            await asyncio.sleep(1.5)
        assert log.yieldings == [DUCKED, PAUSED, NONE] * 2 + [DUCKED, NONE] * 2
        await reach(appliance, State.LISTENING, 20)


async def test_a_television_cannot_keep_an_answer_down():
    async with living("NO_INTERRUPTION") as (home, appliance, log):
        home.room.speak(30.0)
        await reach(appliance, State.LISTENING, 20)
        assert log.yieldings == [DUCKED, PAUSED, NONE]


async def test_the_wake_word_silences_a_paused_answer_at_once():
    async with living("NO_INTERRUPTION") as (home, appliance, log):
        home.room.speak(0.4)
        while appliance.conversation.context.yielding is not PAUSED:
            await asyncio.sleep(0.01)
        home.room.call()
        await reach(appliance, State.INTERRUPTED)
        await asyncio.sleep(0.3)
        end = len(home.speaker.heard)
        await asyncio.sleep(2.0)
        assert not any(home.speaker.heard[end:]), "it does not come back"
        assert log.yieldings == [DUCKED, PAUSED, NONE]
        assert not any(isinstance(moment.event, ServerInterrupted) for moment in log.moments)
