"""A model that thinks long says something, goes on thinking, and answers in a later turn: it is waited for."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

import pytest

from appliance.core.events import Trouble
from appliance.core.state import State
from appliance.daemon import Appliance
from appliance.simulator.in_memory_server import SimulatedService
from appliance.simulator.model.replies import Reply
from appliance.simulator.options import SimulatorOptions
from appliance.simulator.scenario.file import Scenario
from appliance.tools.registry import Function
from tests.support.household import reach
from tests.support.simulated_home import Home, settings_with
from tests.support.simulator import said

MODEL = "gemini-3.8-live-extended-thinking"
SPOKEN = said(1.5)
ANSWER = Reply(SPOKEN, text="forty-two", question="what is the answer")
THINKING_S = 30.0
"""``conversation.thinking_s`` as it comes."""

Story = Callable[[Home, Appliance], Awaitable[None]]


async def played(story: Story, *steps: Mapping[str, object], tools: tuple[Function, ...] = ()) -> SimulatedService:
    """Ask the model a question, up to the end of what it says first; then play a story, up to the state of rest."""

    scenario = Scenario.model_validate({"description": "made up", "step": list(steps)})
    async with SimulatedService(SimulatorOptions(replies=(ANSWER,), scenarios=(scenario,))) as service:
        enabled = [tool.__name__ for tool in tools]
        settings = settings_with(tools={"enabled": enabled, "timeout_s": 15.0}, conversation={"follow_up_s": 4.0})
        home = Home(service, settings, tools=tools)
        home.tokens.model = MODEL
        async with home.living() as appliance:
            await reach(appliance, State.IDLE)
            await asyncio.sleep(1)
            home.room.ask(1.5)
            await reach(appliance, State.SPEAKING)
            await reach(appliance, State.THINKING)
            await story(home, appliance)
            await reach(appliance, State.IDLE, within_s=60)
        return service


def filler(wait_s: float) -> dict[str, object]:
    return {"on": "turn:1", "do": "fill", "for_s": wait_s}


async def answered(home: Home, appliance: Appliance) -> None:
    await reach(appliance, State.SPEAKING)
    await reach(appliance, State.LISTENING)
    assert SPOKEN[240:].tobytes() in home.speaker.heard, "the answer is heard whole"


@pytest.mark.parametrize(
    "wait_s",
    [1.0, pytest.param(4.0, marks=pytest.mark.slow), 9.0, pytest.param(20.0, marks=pytest.mark.slow), THINKING_S - 3],
)
async def test_the_answer_is_heard_however_long_it_takes_and_the_light_tells_of_thinking(wait_s: float):
    async def story(home: Home, appliance: Appliance) -> None:
        await asyncio.sleep(wait_s / 2)
        assert appliance.conversation.context.state is State.THINKING
        await answered(home, appliance)

    assert len((await played(story, filler(wait_s))).sessions) == 1


async def test_an_answer_that_never_comes_is_told_once_the_time_for_thinking_is_over():
    async def story(_: Home, appliance: Appliance) -> None:
        began = asyncio.get_running_loop().time()
        await reach(appliance, State.TROUBLE, within_s=THINKING_S + 2)
        assert appliance.conversation.context.trouble is Trouble.SILENT_SERVICE
        assert asyncio.get_running_loop().time() - began > THINKING_S - 3

    await played(story, filler(300.0))


async def test_a_tool_that_takes_long_is_waited_for_and_so_is_what_the_model_makes_of_it():
    async def look_up() -> str:
        """Look something up."""
        await asyncio.sleep(11)
        return "found"

    called = {"on": "turn:1", "do": "call_tools", "calls": [{"name": "look_up"}]}

    async def story(home: Home, appliance: Appliance) -> None:
        await asyncio.sleep(10)
        assert appliance.conversation.context.state is State.THINKING
        await answered(home, appliance)

    assert len((await played(story, filler(1.0), called, tools=(look_up,))).sessions) == 1


async def test_a_question_whose_answer_is_lost_with_the_link_is_asked_again_as_what_came_first_was_no_answer():
    async def story(home: Home, appliance: Appliance) -> None:
        await reach(appliance, State.RECONNECTING)
        await answered(home, appliance)

    service = await played(story, filler(20.0), {"on": "reply:1", "after_s": 6.0, "do": "drop"})
    assert len(service.sessions) == 2
    assert service.sessions[1].received_samples > 24_000, "all of the question"


async def test_the_person_may_go_on_meanwhile():
    async def story(home: Home, appliance: Appliance) -> None:
        await asyncio.sleep(3)
        home.room.speak(1.0)
        await reach(appliance, State.LISTENING)
        await answered(home, appliance)

    await played(story, filler(20.0))
