"""A button that is held in a hands-free conversation: the service still tells when the person has finished."""

import asyncio

import pytest

from appliance.button.ports import ButtonEdge
from appliance.core.state import State
from appliance.live.messages import GenerationComplete, SpeechEnded, SpeechStarted, TurnComplete
from tests.support.household import TONE, Household, reach, woken


async def ask(household: Household) -> None:
    """Hold the button and say something; the service hears the end of it."""
    await asyncio.sleep(0.5)
    household.button.on_edge(ButtonEdge.DOWN)
    household.link.say(SpeechStarted())
    await asyncio.sleep(2)
    household.link.say(SpeechEnded())


@pytest.mark.parametrize("released_after_s", [0.3, 3.0])
async def test_what_was_said_is_answered_whenever_the_button_is_released(released_after_s: float):
    household = woken()

    async def release() -> None:
        await asyncio.sleep(released_after_s)
        household.button.on_edge(ButtonEdge.UP)

    async with household.living() as appliance:
        await reach(appliance, State.LISTENING)
        await ask(household)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(release())
            await asyncio.sleep(1)
            household.link.say(TONE, TONE, GenerationComplete(), TurnComplete())
            await reach(appliance, State.SPEAKING)
            await reach(appliance, State.LISTENING)
    assert sum(abs(household.speaker.heard) > 4000) > 24_000


async def test_what_gets_no_answer_is_asked_again():
    household = woken()

    async with household.living() as appliance:
        await reach(appliance, State.LISTENING)
        await ask(household)
        await asyncio.sleep(0.3)
        household.button.on_edge(ButtonEdge.UP)
        await reach(appliance, State.RECONNECTING, 10)
        await reach(appliance, State.THINKING)
        assert len(household.connector.links) == 2


async def test_an_answer_that_the_press_was_to_stop_is_not_heard():
    household = woken()

    async with household.living() as appliance:
        await reach(appliance, State.LISTENING)
        household.link.say(SpeechStarted(), SpeechEnded())
        await reach(appliance, State.THINKING)
        household.button.on_edge(ButtonEdge.DOWN)
        household.link.say(TONE, TONE, GenerationComplete(), TurnComplete())
        await asyncio.sleep(5)
        assert appliance.conversation.context.state is State.LISTENING
    assert not any(abs(household.speaker.heard) > 7500)
