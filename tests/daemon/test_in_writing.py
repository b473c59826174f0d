"""Questions in writing, and when they are refused."""

import asyncio

from appliance.button.ports import ButtonEdge
from appliance.core.state import State
from tests.support.household import Household, reach


async def test_while_somebody_holds_the_button_a_text_has_to_wait():
    household = Household()
    async with household.living() as appliance:
        await reach(appliance, State.IDLE)
        household.button.on_edge(ButtonEdge.DOWN)
        await reach(appliance, State.LISTENING)
        assert appliance.send_text("hello") == "the button is held"
        assert household.link.texts == []


async def test_a_greeting_is_asked_for_where_nothing_follows_the_wake_word():
    household = Household(words=(16_000,), settings={"conversation": {"greeting": "Ask what you can do."}})
    async with household.living() as appliance:
        await reach(appliance, State.LISTENING)
        await reach(appliance, State.THINKING)
        await asyncio.sleep(0.1)
        assert household.link.texts == ["Ask what you can do."]
