"""Tools that are called while the model speaks: neither their time nor the wait for what it says of them is silence."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from appliance.core.events import Trouble
from appliance.core.state import State
from appliance.daemon import Appliance
from appliance.live.messages import GenerationComplete, SpeechEnded, SpeechStarted, ToolCall, TurnComplete
from tests.support.household import TONE, Household, reach, woken


@asynccontextmanager
async def talk(takes_s: float, **conversation: object) -> AsyncIterator[tuple[Household, Appliance]]:
    """Hold a conversation in which "look_up" takes so long, up to the first question."""

    async def look_up() -> str:
        """Look something up."""
        await asyncio.sleep(takes_s)
        return "found"

    household = woken(tools={"enabled": ["look_up"], "timeout_s": 30}, conversation=conversation)
    household.tools = (look_up,)

    async with household.living() as appliance:
        await reach(appliance, State.LISTENING)
        household.link.say(SpeechStarted(), SpeechEnded())
        await reach(appliance, State.THINKING)
        yield household, appliance


async def test_a_reply_that_waits_for_a_tool_goes_on_when_it_is_done():
    async with talk(20) as (household, appliance):
        household.link.say(TONE, ToolCall("1", "look_up", {}))
        await asyncio.sleep(25)
        assert appliance.conversation.context.state is State.SPEAKING
        assert [result.response["result"] for result in household.link.results] == ["found"]
        household.link.say(TONE, GenerationComplete(), TurnComplete())
        await reach(appliance, State.LISTENING)
        assert len(household.connector.links) == 1


async def test_a_reply_that_does_not_go_on_after_a_tool_is_given_up_and_its_tool_not_run_twice():
    async with talk(12) as (household, appliance):
        household.link.say(TONE, ToolCall("1", "look_up", {}))
        await reach(appliance, State.TROUBLE, 12 + 8)
        assert appliance.conversation.context.trouble is Trouble.SILENT_SERVICE
        assert len(household.connector.links) == 1


async def test_what_a_tool_found_after_the_models_turn_is_waited_for():
    async with talk(0.2, follow_up_s=1) as (household, appliance):
        household.link.say(TONE, ToolCall("1", "look_up", {}), GenerationComplete(), TurnComplete())
        await reach(appliance, State.SPEAKING)
        await reach(appliance, State.THINKING)
        await asyncio.sleep(4)
        household.link.say(TONE, GenerationComplete(), TurnComplete())
        await reach(appliance, State.SPEAKING)
        await reach(appliance, State.LISTENING)


async def test_nothing_is_waited_for_where_the_model_has_said_it_in_the_same_turn():
    async with talk(0.2) as (household, appliance):
        household.link.say(TONE, ToolCall("1", "look_up", {}))
        await asyncio.sleep(0.5)
        household.link.say(TONE, GenerationComplete(), TurnComplete())
        await reach(appliance, State.LISTENING)
        await reach(appliance, State.IDLE, 12)
