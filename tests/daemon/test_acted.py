"""A tool that has acted for one question does not act again because of the next."""

import asyncio
from collections.abc import Awaitable, Callable

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from appliance.core.state import State
from appliance.daemon import Appliance
from appliance.live.messages import SpeechEnded, SpeechStarted, ToolCall, TurnComplete
from appliance.units import UPLINK
from tests.support.household import WORD, Household, reach
from tests.support.uplink import stream


async def asked_again(words: tuple[int, ...], story: Callable[[Household, Appliance], Awaitable[None]]) -> int:
    """Ask for the lamp, which a tool switches on, and something else in ``story``, which gets no answer.

    Return how many samples of what came before the tool call are sent to the next session.
    """

    async def switch_on() -> str:
        """Switch the lamp on."""
        return "done"

    household = Household(words=words, settings={"tools": {"enabled": ["switch_on"]}})
    household.tools = (switch_on,)

    async with household.living() as appliance:
        await reach(appliance, State.LISTENING)
        household.link.say(SpeechStarted())
        await asyncio.sleep(2)
        household.link.say(SpeechEnded(), ToolCall("1", "switch_on", {}))
        await reach(appliance, State.THINKING)
        called_at = appliance.ring.end
        await asyncio.sleep(0.5)
        assert household.link.results
        await story(household, appliance)
        household.link.say(SpeechStarted())
        await asyncio.sleep(2)
        household.link.say(SpeechEnded())
        await reach(appliance, State.RECONNECTING)
        await reach(appliance, State.THINKING)
        await asyncio.sleep(2)
    again = household.link.audio
    said = sliding_window_view(stream(0, 40 * 16_000), 64)
    first = int(np.flatnonzero((said == again[:64]).all(axis=1))[0])
    assert len(again) > UPLINK.frames(2.0), "the second question is asked again"
    return max(0, called_at - first)


async def test_after_an_answer_in_silence_only_the_next_question_is_asked_again():
    async def story(household: Household, appliance: Appliance) -> None:
        household.link.say(TurnComplete())
        await reach(appliance, State.LISTENING)
        await asyncio.sleep(1)

    assert await asked_again((WORD,), story) <= UPLINK.frames(0.1)


async def test_after_the_wake_word_only_what_is_said_from_then_on_is_asked_again():
    async def story(_: Household, appliance: Appliance) -> None:
        await reach(appliance, State.LISTENING)

    assert await asked_again((WORD, WORD + UPLINK.frames(4.0)), story) <= UPLINK.frames(0.1)
