"""A person speaks while links come and go: every sample reaches each session once and in order, one by one.

A session that begins anew knows nothing of what was said to the one before: it is told all of it.
"""

import asyncio
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.core.state import State
from appliance.live.messages import GoAway, HandleUpdated, SpeechEnded, SpeechStarted
from appliance.units import Pcm, Seconds
from tests.support.household import Household, reach
from tests.support.uplink import stream

WORD = 16_000
BEGIN = WORD - 3200
HEARD = stream(BEGIN, BEGIN + 700_000)


@dataclass(frozen=True)
class GoesAway:
    """The service announces the end of the connection."""

    time_left_s: float


@dataclass(frozen=True)
class Breaks:
    """The connection is gone."""


@dataclass(frozen=True)
class Pauses:
    """The person is silent for a moment, as the service hears it, and goes on."""


Event = GoesAway | Breaks | Pauses
EVENTS = st.one_of(st.builds(GoesAway, st.sampled_from([0.0, 3.0, 12.0, 50.0])), st.just(Breaks()), st.just(Pauses()))


def tell(household: Household, event: Event) -> None:
    link = household.link
    match event:
        case GoesAway(time_left_s):
            link.say(GoAway(Seconds(time_left_s)))
        case Breaks():
            link.lose()
        case Pauses():
            link.say(SpeechEnded(), SpeechStarted())


whatever_becomes_of_the_links = given(
    st.lists(st.tuples(EVENTS, st.floats(0.0, 3.0)), min_size=1, max_size=5),
    st.sampled_from([0.01, 0.4, 2.0]),
    st.sampled_from([0.0, 0.5, 3.0]),
    st.booleans(),
)


@settings(max_examples=10)
@whatever_becomes_of_the_links
async def test_nothing_said_is_lost_or_doubled_whatever_becomes_of_the_links(events, open_s, close_s, handles):
    await talk(events, open_s, close_s, handles)


@pytest.mark.slow
@whatever_becomes_of_the_links
async def test_nothing_said_is_lost_or_doubled_in_a_hundred_conversations(events, open_s, close_s, handles):
    await talk(events, open_s, close_s, handles)


async def talk(events: list[tuple[Event, float]], open_s: float, close_s: float, handles: bool) -> None:
    household = Household(words=(WORD,))
    household.connector.open_s, household.connector.close_s = open_s, close_s
    async with household.living() as appliance:
        await reach(appliance, State.LISTENING)
        for event, then_s in events:
            if handles:
                household.link.say(HandleUpdated("h"))
            household.link.say(SpeechStarted())
            await asyncio.sleep(0.1)
            tell(household, event)
            await asyncio.sleep(then_s)
        for _ in range(100):
            await asyncio.sleep(0.3)
            household.link.say(SpeechStarted())
            if household.microphone.next - BEGIN - len(sessions(household)[-1]) < 1600:
                break
        assert appliance.conversation.context.state in {State.LISTENING, State.TROUBLE, State.IDLE}
        for heard in sessions(household):
            assert np.array_equal(heard, stream(BEGIN, BEGIN + len(heard))), "a sample is lost or doubled"
        if appliance.conversation.context.state is State.LISTENING:
            assert household.microphone.next - BEGIN - len(heard) < 1600, "all of it has arrived"


def began(audio: Pcm, heard: int) -> int:
    """Where the samples begin that a resumed session is sent: what came after its handle, it has forgotten."""
    # The stream repeats itself, some seconds away: the last place before the end of what was heard is the true one.
    return HEARD[: heard + 160].tobytes().rfind(audio[:160].tobytes()) // 2


def sessions(household: Household) -> list[Pcm]:
    """Return the audio that each session has heard, over all its links."""
    heard: list[Pcm] = []
    for link, request in zip(household.connector.links, household.connector.requests, strict=True):
        if request.handle is None or not heard:
            heard.append(link.audio)
        elif len(link.audio):
            heard[-1] = np.concatenate([heard[-1][: began(link.audio, len(heard[-1]))], link.audio])
    return heard


@pytest.mark.parametrize("close_s", [0.0, 2.5])
async def test_a_swap_shows_nothing(close_s: float):
    household = Household(words=(WORD,))
    household.connector.close_s = close_s
    async with household.living() as appliance:
        await reach(appliance, State.LISTENING)
        household.link.say(HandleUpdated("h"), SpeechStarted(), GoAway(Seconds(8.0)))
        await asyncio.sleep(8)
        assert len(household.connector.links) == 2
        assert household.connector.requests[1].handle == "h"
        assert appliance.conversation.context.state is State.LISTENING
        assert [state for _, state in household.light.shown][-2:] == [State.CONNECTING, State.LISTENING]
