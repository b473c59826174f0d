"""Speech over the beginning of an answer, with the default barge-in: sent to its end, or counted as not sent."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import numpy as np
import pytest

from appliance.conversation import Moment
from appliance.core.events import ReplyStarted
from appliance.core.state import State
from appliance.daemon import Appliance
from appliance.demo.accounting import ExpectedUplink, unsent_speech_s
from appliance.simulator.in_memory_server import SimulatedService
from appliance.simulator.model.replies import Reply
from appliance.simulator.options import SimulatorOptions
from appliance.units import UPLINK, Epoch, Seconds
from tests.daemon.echo import Echo
from tests.support.household import reach
from tests.support.simulated_home import Home, settings_with
from tests.support.simulator import said

STORY = Reply(said(9.0, seed=4), text="once upon a time there was a voice in a box", question="tell me a story")
INTERRUPTS = "START_OF_ACTIVITY_INTERRUPTS"


@asynccontextmanager
async def living(interruption: str = INTERRUPTS) -> AsyncIterator[tuple[Home, Appliance]]:
    """Ask for a story, with a service that needs half a second of speech before it says so, and 0.8 s for an answer."""
    async with SimulatedService(SimulatorOptions(replies=(STORY,), thinking_s=0.8)) as service:
        home = Home(service, settings_with())
        home.connector.detection = {"prefixPaddingMs": 500}
        home.connector.interruption = interruption
        async with home.living() as appliance:
            await reach(appliance, State.IDLE)
            await asyncio.sleep(0.5)
            home.room.ask(1.2)
            yield home, appliance


def sent_of(appliance: Appliance, begin: int, seconds: float) -> float:
    end = begin + UPLINK.frames(seconds)
    spans = appliance.uplink.counts.spans
    return sum(max(0, min(stop, end) - max(start, begin)) for start, stop in spans) / UPLINK.rate_hz


@pytest.mark.parametrize(
    ("pause_s", "cut_off"), [(0.8, False), (1.0, True), pytest.param(1.2, True, marks=pytest.mark.slow)]
)
async def test_a_pause_in_a_question_costs_no_word_if_the_person_speaks_as_the_answer_begins(
    pause_s: float, cut_off: bool
):
    async with living() as (home, appliance):
        begin = home.room.next + UPLINK.frames(1.5 + pause_s)
        home.room.speak(2.0, after_s=1.5 + pause_s)
        await reach(appliance, State.CONNECTING)
        await reach(appliance, State.IDLE, 60)
        assert sent_of(appliance, begin, 2.0) == pytest.approx(2.0)
        states = [state for _, state in home.light.shown]
        assert (State.INTERRUPTED in states) is cut_off
        assert states.count(State.SPEAKING) == 1 + cut_off, "the whole question is answered"


@pytest.mark.parametrize("pause_s", [0.8, pytest.param(1.4, marks=pytest.mark.slow), 1.8])
async def test_what_is_said_after_a_pause_is_sent_or_counted_as_not_sent(pause_s: float):
    async with living() as (home, appliance):
        owed = ExpectedUplink()
        home.on_moment = lambda moment: owed.on_moment(moment, appliance.ring.end)
        begin = home.room.next + UPLINK.frames(1.5 + pause_s)
        home.room.speak(2.0, after_s=1.5 + pause_s)
        await reach(appliance, State.CONNECTING)
        await reach(appliance, State.IDLE, 60)
        heard = np.frombuffer(home.room.recorded, "<i2")
        unsent_s = unsent_speech_s(heard, owed.conversations, [*owed.spans, *owed.wake_words])
        assert sent_of(appliance, begin, 2.0) + unsent_s == pytest.approx(2.0, abs=0.15)


async def test_an_answer_that_nobody_speaks_over_closes_the_microphone_as_it_is_heard():
    async with living() as (home, appliance):
        await reach(appliance, State.SPEAKING)
        began = home.room.next
        home.room.speak(3.0, after_s=0.4)  # as loud as an echo
        await reach(appliance, State.LISTENING)
        assert sent_of(appliance, began, 3.0) < 0.3
        assert State.INTERRUPTED not in [state for _, state in home.light.shown]


async def test_a_noise_that_does_not_end_does_not_keep_the_microphone_open():
    async with living("NO_INTERRUPTION") as (home, appliance):
        await reach(appliance, State.THINKING)
        home.room.speak(15.0, after_s=0.4)
        await reach(appliance, State.SPEAKING)
        began = home.room.next
        await reach(appliance, State.LISTENING)
        assert 5.5 < sent_of(appliance, began, 9.0) < 6.5


async def test_another_reply_in_the_same_breath_gives_a_noise_no_more_time():
    async with living("NO_INTERRUPTION") as (home, appliance):
        await reach(appliance, State.THINKING)
        home.room.speak(15.0, after_s=0.4)
        await reach(appliance, State.SPEAKING)
        began = home.room.next
        await asyncio.sleep(3)
        appliance._on_audible(Epoch(appliance.conversation.context.epoch), Seconds(asyncio.get_running_loop().time()))
        await reach(appliance, State.LISTENING)
        assert 5.5 < sent_of(appliance, began, 9.0) < 6.5


@pytest.mark.parametrize("delay_s", [pytest.param(0.0, marks=pytest.mark.slow), 0.6])
async def test_a_speaker_that_the_microphone_hears_is_not_taken_for_the_person_who_spoke_on(delay_s: float):
    async with living() as (home, appliance):
        home.room.echo = Echo(home, delay_s, level_db=-10)
        answers: list[Moment] = []
        home.on_moment = lambda moment: answers.extend([moment] * isinstance(moment.event, ReplyStarted))
        home.room.speak(2.0, after_s=2.5)
        await reach(appliance, State.CONNECTING)
        await reach(appliance, State.IDLE, 60)
        assert len(answers) == 2, "one that was cut off, and one to the whole question"
