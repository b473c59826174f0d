"""A session that is resumed knows what came before its handle and nothing later: that is sent again, and no more.

What the other end has read does not count: neither a kernel nor a relay that has acknowledged a sample is the session.
"""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import Final

import numpy as np
import pytest

from appliance.audio.capture.spans import MARGIN_S
from appliance.audio.capture.uplink import LONGEST_CHUNK_MS
from appliance.core.state import State
from appliance.demo.accounting import Account, account
from appliance.simulator.in_memory_server import SimulatedService
from appliance.simulator.model.replies import Reply
from appliance.simulator.options import SimulatorOptions, VoiceActivity
from appliance.simulator.scenario.file import Scenario
from appliance.units import UPLINK
from tests.support.household import reach
from tests.support.simulated_home import Home, settings_with
from tests.support.simulated_link import relayed
from tests.support.simulator import said

ANSWER: Final = Reply(said(1.0), text="yes", question="is it so")
SPEECH_S: Final = 3.0
DROPS: Final = 500
CATCH_UP_SPEED: Final = 4.0
"""Speed at which held speech is sent, as a multiple of real time."""
QUICK: Final = 8
"""Drops that every run tries."""


@dataclass(frozen=True)
class Drop:
    """The connection breaks while the person asks a second question."""

    at_s: float
    """Since the service heard them begin."""
    handles_at_s: tuple[float, ...] = ()
    """A handle comes, since the same moment."""
    relay_s: float = 0.0
    """The delay of a relay that acknowledges at once, in each direction."""
    activity: VoiceActivity = VoiceActivity.SENT

    @property
    def scenario(self) -> Scenario:
        on = "speech:2"
        handles = [{"on": on, "after_s": at_s, "do": "offer_handle"} for at_s in self.handles_at_s]
        steps = [*handles, {"on": on, "after_s": self.at_s, "do": "drop"}]
        return Scenario.model_validate({"description": "While the person speaks.", "step": steps})


async def fate(drop: Drop) -> Account:
    """Play it; compare what the uplink had to send, echo left out, with what the one session knows in the end."""

    options = SimulatorOptions(replies=(ANSWER,), scenarios=(drop.scenario,), voice_activity=drop.activity)
    async with SimulatedService(options) as service:
        home = Home(service, settings_with(conversation={"follow_up_s": 4.0}))
        if drop.relay_s:
            home.connector.through = partial(relayed, delay_s=drop.relay_s)
        async with home.living() as appliance:
            await reach(appliance, State.IDLE)
            await asyncio.sleep(1)
            home.room.call()
            for _ in range(2):
                question = home.room.next + UPLINK.frames(0.5)
                home.room.speak(SPEECH_S, after_s=0.5)
                await reach(appliance, State.SPEAKING)
                await reach(appliance, State.LISTENING)
            await reach(appliance, State.IDLE)
            spans = appliance.uplink.counts.spans
        recorded = np.frombuffer(home.room.recorded, "<i2")
        first, resumed, *anew = [record.session for record in service.sessions]
        assert (first, resumed) == (1, 1), "the session goes on"
        if anew:  # it heard too little after its handle to answer, and was asked the whole question again
            spoken = recorded[question : question + UPLINK.frames(SPEECH_S)]
            assert spoken.tobytes() in service.received(anew[-1]).tobytes()
            return account(spoken, spoken)
        return account(np.concatenate([recorded[start:stop] for start, stop in spans]), service.received(1))


def drops(seeds: range) -> Iterator[Drop]:
    for seed in seeds:
        random = Random(seed)  # noqa: S311  nothing here is secret
        at_s = random.uniform(0.0, SPEECH_S - 0.5)
        handles = tuple(random.uniform(0.0, at_s) for _ in range(random.randint(0, 2)))
        yield Drop(at_s, handles, random.choice((0.0, 0.02, 0.1, 0.2)), random.choice(tuple(VoiceActivity)))


async def check(drop: Drop) -> None:
    found = await fate(drop)
    assert (found.lost, found.strange) == (0, 0), drop
    assert found.duplicated <= UPLINK.frames(CATCH_UP_SPEED * MARGIN_S + LONGEST_CHUNK_MS / 1000), drop


@pytest.mark.parametrize("at_s", [0.1, pytest.param(0.6, marks=pytest.mark.slow), 2.4])
async def test_what_was_said_since_the_last_handle_is_sent_again_though_all_of_it_was_read(at_s: float):
    found = await fate(Drop(at_s))
    assert found.lost == found.duplicated == 0


@pytest.mark.parametrize("relay_s", [pytest.param(0.05, marks=pytest.mark.slow), 0.2])
async def test_a_relay_that_acknowledges_at_once_is_not_the_session(relay_s: float):
    await check(Drop(2.4, (), relay_s))
    await check(Drop(2.4, (1.0,), relay_s))


async def test_what_came_before_a_handle_is_not_sent_again_but_for_what_may_have_been_on_its_way():
    await check(Drop(2.4, (0.4, 1.9)))


async def test_nothing_is_lost_wherever_the_connection_breaks():
    for drop in drops(range(QUICK)):
        await check(drop)


@pytest.mark.slow
@pytest.mark.timeout(900)
async def test_nothing_is_lost_in_five_hundred_drops():
    for drop in drops(range(DROPS)):
        await check(drop)
