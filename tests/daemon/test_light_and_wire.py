"""The light and the wire: what is unsent stays here once a conversation is broken off, and the light outlasts the rest.

`Home` holds in every test that no sample leaves while the light shows a resting state.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from appliance.button.ports import ButtonEdge
from appliance.core.events import DeadlineReached, Fault, FaultRaised
from appliance.core.state import State
from appliance.daemon import Appliance
from appliance.simulator.in_memory_server import SimulatedService
from appliance.simulator.options import SimulatorOptions
from tests.support.household import reach
from tests.support.simulated_home import Home, settings_with


@asynccontextmanager
async def talk() -> AsyncIterator[tuple[Home, Appliance]]:
    async with SimulatedService(SimulatorOptions()) as service:
        home = Home(service, settings_with())
        async with home.living() as appliance:
            await reach(appliance, State.IDLE)
            await asyncio.sleep(0.5)
            yield home, appliance


async def unsent(home: Home, appliance: Appliance, seconds: float) -> None:
    """Leave ``seconds`` of speech waiting for a link that has just opened."""
    home.tokens.delay_s = seconds + 0.3
    home.room.ask(seconds)
    await reach(appliance, State.LISTENING)


async def tap(home: Home) -> None:
    home.button.on_edge(ButtonEdge.DOWN)
    await asyncio.sleep(0.04)
    home.button.on_edge(ButtonEdge.UP)


@pytest.mark.parametrize("end", ["tap", "fault"])
async def test_what_is_unsent_stays_here_and_the_light_says_so_at_once(end: str):
    async with talk() as (home, appliance):
        await unsent(home, appliance, 2.0)
        if end == "tap":
            await tap(home)
        else:
            appliance.conversation.post(FaultRaised(Fault.MICROPHONE))
        ended_at = asyncio.get_running_loop().time()
        counts = appliance.uplink.counts
        await asyncio.sleep(1)
        shown_at, shown = home.light.shown[-1]
        assert shown is (State.IDLE if end == "tap" else State.FAULT)
        assert shown_at - ended_at < 0.05
        assert appliance.uplink.counts.sent - counts.sent <= 1600, "no more than what was on its way"
        assert appliance.uplink.counts.dropped > 16_000
        assert counts.captured + counts.repeated == appliance.uplink.counts.sent + appliance.uplink.counts.dropped


async def test_where_a_conversation_ends_by_itself_the_light_stays_on_until_all_is_sent():
    async with talk() as (home, appliance):
        await unsent(home, appliance, 1.0)
        appliance.conversation.post(DeadlineReached(appliance.conversation.context.entry))
        await reach(appliance, State.IDLE)
        ended_at = asyncio.get_running_loop().time()
        await asyncio.sleep(1)
        counts = appliance.uplink.counts
        assert counts.captured + counts.repeated == counts.sent
        [(idle_at, _)] = [shown for shown in home.light.shown if shown[1] is State.IDLE][1:]
        assert 0.2 < idle_at - ended_at < 0.6


async def test_a_wake_word_in_the_meantime_shows_at_once_and_the_old_light_never_comes():
    async with talk() as (home, appliance):
        await unsent(home, appliance, 1.0)
        appliance.conversation.post(DeadlineReached(appliance.conversation.context.entry))
        await reach(appliance, State.IDLE)
        home.room.call()
        await reach(appliance, State.CONNECTING)
        assert [state for _, state in home.light.shown[-2:]] == [State.LISTENING, State.CONNECTING]
        await asyncio.sleep(0.5)
        assert State.IDLE not in [state for _, state in home.light.shown[3:]]
