"""The daemon's status, as it tells it."""

import asyncio

from appliance.core.events import Fault
from appliance.core.state import BargeIn, State
from tests.support.household import Household, reach


async def test_it_tells_its_state_and_since_when():
    household = Household()
    async with household.living() as appliance:
        await reach(appliance, State.IDLE)
        await asyncio.sleep(90)
        status = appliance.status()
    assert (status.state, status.faults) == (State.IDLE, ())
    assert status.meaning.startswith("ready for the wake word")
    assert 89 < status.state_s < 95 < status.running_s + 10


async def test_a_fault_comes_with_its_reason_and_what_to_do():
    household = Household()
    async with household.living() as appliance:
        await reach(appliance, State.IDLE)
        household.microphone.broken = True
        await reach(appliance, State.FAULT)
        (fault,) = appliance.status().faults
        assert (fault.part, fault.reason) == (Fault.MICROPHONE, "unplugged")
        assert "appliance devices" in fault.remedy
        assert appliance.status().meaning == "the microphone is missing or has failed"
        household.microphone.broken = False
        await reach(appliance, State.IDLE)
        assert appliance.status().faults == ()


async def test_it_tells_why_replies_are_interrupted_as_they_are():
    household = Household()
    async with household.living() as appliance:
        await reach(appliance, State.IDLE)
        status = appliance.status()
    assert (status.barge_in, status.echo.mode, status.echo.state) == (BargeIn.WAKE_WORD, "off", None)
