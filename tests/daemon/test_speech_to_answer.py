"""Speech-to-answer latency, also where the answer comes before the end of the words is noticed."""

import asyncio

import pytest

from appliance.core.latency import Latency
from appliance.core.state import State
from appliance.simulator.in_memory_server import SimulatedService
from appliance.simulator.model.replies import Reply, ToolStep
from appliance.simulator.options import SimulatorOptions, VoiceActivity
from tests.support.household import reach
from tests.support.simulated_home import Home, settings_with
from tests.support.simulator import said

YES = Reply(said(0.8), text="yes", question="is it so")
NOON = Reply(said(0.8, seed=5), text="it is noon", question="how late is it", tool=ToolStep("get_time"))


@pytest.mark.parametrize("activity", [VoiceActivity.SENT, VoiceActivity.UNSENT])
@pytest.mark.parametrize("answer", [YES, NOON], ids=["answer", "tool"])
async def test_each_answer_has_its_latency_whatever_the_service_tells(activity: VoiceActivity, answer: Reply):
    options = SimulatorOptions(replies=(answer,), voice_activity=activity, thinking_s=0.1)
    async with SimulatedService(options) as service:
        home = Home(service, settings_with())
        async with home.living() as appliance:
            await reach(appliance, State.IDLE)
            await asyncio.sleep(0.5)
            home.room.ask(1.2)
            for _ in range(2):
                await reach(appliance, State.SPEAKING)
                await reach(appliance, State.LISTENING)
                home.room.speak(1.2, after_s=0.3)
            await reach(appliance, State.SPEAKING)
            await asyncio.sleep(0.5)
            taken = appliance.conversation.stopwatch.durations_ms(Latency.SPEECH_TO_ANSWER)
            assert len(taken) == 3
            least_ms, most_ms = (100, 600) if activity is VoiceActivity.SENT else (600, 1200)
            assert all(least_ms < ms < most_ms for ms in taken), taken
