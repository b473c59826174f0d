"""Devices that are slow, or that fail once: they are waited for, and a fault shows only as long as it lasts."""

import asyncio
import threading

import pytest

from appliance.button.ports import ButtonEdge
from appliance.core.state import State
from appliance.daemon import START_S
from appliance.wake.scripted import ScriptedEngine
from tests.support.household import Household, reach


async def test_a_button_whose_pin_was_busy_is_a_fault_until_it_has_it():
    household = Household()
    household.button.failures = ["busy", "busy"]

    async with household.living() as appliance:
        await reach(appliance, State.FAULT)
        await reach(appliance, State.IDLE)
        await asyncio.sleep(60)
        assert household.light.shown[-1][1] is State.IDLE
        household.button.on_edge(ButtonEdge.DOWN)
        await reach(appliance, State.CONNECTING)


@pytest.mark.slow
@pytest.mark.realtime
async def test_a_wake_word_that_loads_for_long_is_no_fault_of_the_microphone():
    loaded = threading.Event()

    def load() -> ScriptedEngine:
        assert loaded.wait(30)
        return ScriptedEngine(())

    household = Household(wake=load, wake_in_thread=True)

    async with household.living() as appliance:
        await asyncio.sleep(START_S + 2)
        loaded.set()
        assert [state for _, state in household.light.shown] == [State.STARTING, State.IDLE]
        await reach(appliance, State.IDLE)
