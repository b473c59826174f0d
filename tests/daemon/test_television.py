"""Talk that does not end: a conversation that nobody asked for any more ends by itself."""

import asyncio
from dataclasses import dataclass, field

import pytest

from appliance.conversation import Moment
from appliance.core.events import ReplyStarted
from appliance.core.state import State
from appliance.daemon import Appliance
from appliance.simulator.in_memory_server import SimulatedService
from appliance.simulator.model.replies import Reply
from appliance.simulator.options import SimulatorOptions, VoiceActivity
from appliance.simulator.scenario.file import Scenario
from tests.support.household import reach
from tests.support.simulated_home import Home, settings_with
from tests.support.simulator import said

BOTH = (VoiceActivity.SENT, VoiceActivity.UNSENT)
ANSWER = Reply(said(0.8), text="yes, indeed", question="is it so")
EMPTY = Scenario.model_validate(
    {"description": "silence", "step": [{"on": "turn", "do": "empty_turn", "connections": "all"}]}
)


@dataclass
class Evening:
    """Result of an evening; times are in seconds from the wake word on."""

    ended_s: float = 0.0
    answers: list[State] = field(default_factory=list)
    """The states in which answers began."""
    turns: int = 0


async def evening(
    activity: VoiceActivity, *scenarios: Scenario, wake_at_s: float | None = None, **conversation: object
) -> Evening:
    """Ask one question beside a television that talks for 2.5 s and pauses for 1.5 s; watch to the end."""
    seen = Evening()

    def see(moment: Moment) -> None:
        if isinstance(moment.event, ReplyStarted):
            seen.answers.append(moment.after.state)

    loop = asyncio.get_running_loop()
    options = SimulatorOptions(replies=(ANSWER,), scenarios=scenarios, voice_activity=activity)
    async with SimulatedService(options) as service:
        home = Home(service, settings_with(conversation=conversation), on_moment=see)
        async with home.living() as appliance:
            await reach(appliance, State.IDLE)
            home.room.ask(1.5)
            await reach(appliance, State.CONNECTING)
            began = loop.time()
            async with asyncio.TaskGroup() as tasks:
                television = tasks.create_task(_talk(home))
                if wake_at_s is not None:
                    await asyncio.sleep(wake_at_s)
                    home.room.call()
                await _over(appliance)
                seen.ended_s = loop.time() - began
                sent = appliance.uplink.counts.sent
                await asyncio.sleep(30)
                assert appliance.uplink.counts.sent == sent, "the television is listened to"
                television.cancel()
            seen.turns = len(service.sessions[0].turns)
    return seen


async def _talk(home: Home) -> None:
    await asyncio.sleep(2)
    while True:
        home.room.speak(2.5)
        await asyncio.sleep(4)


async def _over(appliance: Appliance) -> None:
    async with asyncio.timeout(600):
        while appliance.conversation.context.state is not State.IDLE:
            await asyncio.sleep(0.1)


@pytest.mark.parametrize("activity", [BOTH[0], pytest.param(BOTH[1], marks=pytest.mark.slow)])
async def test_a_conversation_that_only_the_television_goes_on_with_ends_with_a_goodbye(activity: VoiceActivity):
    seen = await evening(activity, longest_s=60)
    assert 60 <= seen.ended_s < 60 + 20
    assert State.FAREWELL in seen.answers[-2:], "the model said goodbye"


async def test_the_wake_word_gives_it_all_its_time_again():
    assert 60 + 20 < (await evening(VoiceActivity.SENT, longest_s=60, wake_at_s=25)).ended_s < 25 + 60 + 20


@pytest.mark.parametrize("activity", BOTH)
async def test_a_model_that_does_not_feel_addressed_ends_it_sooner(activity: VoiceActivity):
    seen = await evening(activity, EMPTY)
    assert seen.ended_s < 30
    assert not seen.answers
