"""What is said in writing, and when it cannot be."""

import asyncio
from collections.abc import Awaitable, Callable

from appliance.button.ports import Edge
from appliance.core.state import State
from tests.clock import run_virtual
from tests.daemon.household import Household, reach


def in_virtual_time(story: Callable[[], Awaitable[None]]) -> None:
    async def main() -> None:
        await story()

    run_virtual(main)


def test_while_somebody_holds_the_button_a_text_has_to_wait():
    async def story() -> None:
        household = Household()
        async with household.living() as appliance:
            await reach(appliance, State.IDLE)
            household.button.on_edge(Edge.DOWN)
            await reach(appliance, State.LISTENING)
            assert appliance.send_text("hello") == "the button is held"
            assert household.link.texts == []

    in_virtual_time(story)


def test_a_greeting_is_asked_for_where_nothing_follows_the_wake_word():
    async def story() -> None:
        household = Household(words=(16_000,), settings={"conversation": {"greeting": "Ask what you can do."}})
        async with household.living() as appliance:
            await reach(appliance, State.LISTENING)
            await reach(appliance, State.THINKING)
            await asyncio.sleep(0.1)
            assert household.link.texts == ["Ask what you can do."]

    in_virtual_time(story)
