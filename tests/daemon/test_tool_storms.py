"""A model that calls tools without end, the same call twice, or thousands at once."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from appliance.conversation import Moment
from appliance.core.events import ToolsCalled, Trouble
from appliance.core.state import State
from appliance.daemon import Appliance
from appliance.live.messages import GenerationComplete, SpeechEnded, SpeechStarted, ToolCall, TurnComplete
from appliance.simulator.in_memory_server import SimulatedService
from appliance.simulator.options import SimulatorOptions
from appliance.simulator.scenario.file import Scenario
from tests.support.household import TONE, Household, reach, woken
from tests.support.simulated_home import Home, settings_with


@asynccontextmanager
async def asked(runs: list[float], **tools: object) -> AsyncIterator[tuple[Household, Appliance]]:
    """Hold a conversation up to the first question, with a tool "count" that notes its runs."""

    def count() -> int:
        """Count."""
        runs.append(asyncio.get_running_loop().time())
        return len(runs)

    household = woken(tools={"enabled": ["count"], **tools})
    household.tools = (count,)

    async with household.living() as appliance:
        await reach(appliance, State.LISTENING)
        household.link.say(SpeechStarted(), SpeechEnded())
        await reach(appliance, State.THINKING)
        yield household, appliance


async def storm(household: Household, appliance: Appliance, pause_s: float) -> None:
    """Call after each result until the conversation is over."""
    link, number = household.link, 0
    while appliance.conversation.context.state in {State.THINKING, State.SPEAKING}:
        link.say(ToolCall(f"{number}", "count", {}))
        number += 1
        await asyncio.sleep(pause_s)


async def test_a_tool_loop_ends_in_an_error_for_the_model_and_then_an_apology():
    runs: list[float] = []

    async with asked(runs, calls_per_question=5) as (household, appliance):
        await storm(household, appliance, 0.3)
        assert appliance.conversation.context.trouble is Trouble.SILENT_SERVICE
        assert len(runs) == 5
        *answered, refused = household.link.results
        assert [result.response["status"] for result in answered] == ["ok"] * 5
        assert refused.response["status"] == "error"
        await reach(appliance, State.IDLE)


async def test_a_slow_tool_loop_ends_after_the_time_for_a_question():
    runs: list[float] = []

    async with asked(runs, question_s=20) as (household, appliance):
        await storm(household, appliance, 3.0)
        assert appliance.conversation.context.trouble is Trouble.SILENT_SERVICE
        assert runs[-1] - runs[0] <= 20
        assert household.link.results[-1].response["status"] == "error"


async def test_a_model_that_heeds_the_refusal_is_heard():
    async with asked([], calls_per_question=2) as (household, appliance):
        for number in range(3):
            household.link.say(ToolCall(f"{number}", "count", {}))
        await asyncio.sleep(0.1)
        assert [result.response["status"] for result in household.link.results] == ["ok", "ok", "error"]
        household.link.say(TONE, GenerationComplete(), TurnComplete())
        await reach(appliance, State.SPEAKING)
        await reach(appliance, State.LISTENING)
        household.link.say(SpeechStarted(), SpeechEnded(), ToolCall("3", "count", {}))
        await asyncio.sleep(0.1)
        assert household.link.results[-1].response["status"] == "ok", "the next question has calls of its own"


async def test_a_call_that_comes_again_after_its_result_runs_once():
    runs: list[float] = []

    async with asked(runs) as (household, appliance):
        for _ in range(2):
            household.link.say(ToolCall("same", "count", {}))
            await asyncio.sleep(0.5)
        assert len(runs) == len(household.link.results) == 1
        household.link.say(TONE, GenerationComplete(), TurnComplete())
        await reach(appliance, State.SPEAKING)
        await reach(appliance, State.LISTENING)
        assert len(household.connector.links) == 1


async def test_a_message_with_ten_thousand_calls_runs_none_of_them_and_the_conversation_ends_in_order():
    calls = [{"id": f"{number}", "name": "get_time", "args": {}} for number in range(10_000)]
    payload = json.dumps({"toolCall": {"functionCalls": calls}})
    steps = [
        {"on": "turn:1", "do": "no_reply", "connections": "all"},
        {"on": "turn:1", "do": "send", "connections": "all", "payload": payload},
    ]
    scenario = Scenario.model_validate({"description": "too many calls at once", "step": steps})

    async with SimulatedService(SimulatorOptions(scenarios=(scenario,))) as service:
        home = Home(service, settings_with())
        called: list[ToolsCalled] = []

        def see(moment: Moment) -> None:
            if isinstance(moment.event, ToolsCalled):
                called.append(moment.event)

        home.on_moment = see
        async with home.living() as appliance:
            await reach(appliance, State.IDLE)
            home.room.ask(1.5)
            await reach(appliance, State.TROUBLE)
            assert not called
            await reach(appliance, State.IDLE)
