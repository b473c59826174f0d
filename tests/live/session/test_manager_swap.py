"""Swaps: a link is replaced in silence, and the conversation does not notice."""

import asyncio

import pytest

from appliance.core.effects import Session
from appliance.core.events import LinkLost, LinkOpened, ReplyEnded, ReplyStarted, Trouble, UserSpeech
from appliance.errors import LinkAction, LinkCause, LinkError
from appliance.live.connecting.rotation import MAX_AGE_S
from appliance.live.messages import (
    GenerationComplete,
    GoAway,
    HandleUpdated,
    LinkMessage,
    SpeechEnded,
    SpeechStarted,
    ToolCall,
    TurnComplete,
)
from appliance.live.ports import Traffic
from appliance.units import Seconds
from tests.live.session.messages import CALL, RESULT, SOON, H, beats
from tests.live.session.story import LOUD
from tests.support.live import FakeConnector, Household, closing, opening, settle


@pytest.mark.parametrize("close_s", [0.0, 3.0])
async def test_a_notice_brings_another_link_of_the_same_session_and_nobody_is_told(close_s):
    house = Household(connector=FakeConnector(close_s=close_s))
    async with house.linked() as (manager, link):
        link.say(H, SOON)
        await asyncio.sleep(close_s + 0.5)
        assert house.connector.handles == [None, "h"]
        assert house.events == []
        assert house.uplink.sink is house.connector.links[1]
        assert house.uplink.log == ["attach", "detach", "attach"]
        assert manager.counts.swaps == 1
        house.connector.links[1].say(LOUD, TurnComplete())
        await settle()
        assert house.events == [ReplyStarted(1, 1), ReplyEnded(1, 1)], "it is still the same link to the conversation"


async def test_an_old_link_is_swapped_before_the_service_ends_it():
    house = Household()
    async with house.linked() as (_, link):
        link.say(H)
        await asyncio.sleep(MAX_AGE_S - 1)
        assert len(house.connector.links) == 1
        await asyncio.sleep(2)
        assert house.connector.handles == [None, "h"]
        await asyncio.sleep(MAX_AGE_S)
        assert len(house.connector.links) == 3


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ([SpeechStarted()], [SpeechEnded(), LOUD, TurnComplete()]),
        ([LOUD], [TurnComplete()]),
        ([CALL], []),
        ([HandleUpdated(None)], [H]),
    ],
    ids=["the person speaks", "the model speaks", "a tool runs", "the session cannot be resumed"],
)
async def test_a_swap_waits_for_silence(before: list[LinkMessage], after: list[LinkMessage]):
    house = Household()
    async with house.linked() as (manager, link):
        link.say(H, *before, SOON)
        await asyncio.sleep(20)
        assert len(house.connector.links) == 1
        link.say(*after)
        manager.send_tool_result(RESULT)
        await beats()
        assert len(house.connector.links) == 2
        assert not any(isinstance(event, LinkLost) for event in house.events)


async def test_a_person_who_does_not_stop_speaking_is_held_through_the_swap():
    house = Household()
    async with house.linked() as (_, link):
        link.say(H, SpeechStarted(), SOON)
        await asyncio.sleep(46)
        assert len(house.connector.links) == 2
        assert house.events == [UserSpeech(1)]


async def test_what_an_old_link_did_not_deliver_by_its_close_is_sent_over_the_new_one():
    house = Household()
    async with house.linked() as (_, link):
        link.never_arrived = 640
        link.say(H, SpeechStarted(), SOON)
        await asyncio.sleep(46)
        assert house.uplink.log == ["attach", "detach", "take back 640", "attach"]


async def test_an_answer_that_does_not_end_in_time_is_lost_and_told():
    house = Household()
    async with house.linked() as (_, link):
        link.say(H, LOUD, SOON)
        await asyncio.sleep(46)
        assert house.events == [ReplyStarted(1, 1), LinkLost(1, resumable=True, trouble=Trouble.LOST)]


@pytest.mark.parametrize(
    ("action", "lost"),
    [
        (LinkAction.BACK_OFF, LinkLost(1, resumable=True, trouble=Trouble.SERVICE)),
        (LinkAction.GIVE_UP_AUTH, LinkLost(1, resumable=False, trouble=Trouble.REFUSED)),
    ],
)
async def test_a_swap_that_does_not_succeed_at_once_is_a_loss(action, lost):
    house = Household()
    async with house.linked() as (manager, link):
        house.connector.errors = [LinkError("no", LinkCause.UNREACHABLE, action)]
        link.say(H, SOON)
        await beats()
        assert house.events == [lost]
        manager.open(opening(2, Session.RESUME))
        await asyncio.sleep(1)
        assert isinstance(house.events[-1], LinkOpened)


async def test_the_end_of_a_conversation_in_the_middle_of_a_swap_leaves_nothing_open():
    async def story(after_s: float) -> None:
        house = Household(connector=FakeConnector(open_s=0.5, close_s=0.5))
        async with house.keeping() as manager:
            manager.open(opening(1))
            await asyncio.sleep(0.6)
            house.connector.links[0].say(H, SOON)
            await asyncio.sleep(after_s)
            manager.close(closing(1))
            await manager.closed()
            assert house.connector.connections == 0
            assert house.events == [LinkOpened(1)]

    for step in range(20):
        await story(step * 0.1)


@pytest.mark.parametrize("call", [None, ToolCall("1", "buy", {})])
async def test_what_a_tool_has_acted_upon_is_not_sent_again_over_a_swapped_link(call):
    house = Household()
    async with house.linked() as (_, link):
        link.say(H, SpeechStarted(), SpeechEnded(), *([call] if call else []))
        link.on_its_way = Traffic(5000, 5000)
        await asyncio.sleep(2.5)
        assert len(house.connector.links) == 2
        assert ("repeat" in house.uplink.log) is (call is None)
        assert house.uplink.to_handle == [call is None]


async def test_a_handle_tells_the_uplink_how_much_of_what_was_sent_its_session_need_not_know():
    house = Household()
    async with house.linked() as (_, link):
        link.never_arrived = 640
        link.say(H, HandleUpdated(None), HandleUpdated("i", 320))
        await settle()
        assert house.uplink.unknown == [640, 320]
        link.lose()
        await settle()
        assert house.uplink.to_handle == [True]


async def test_a_link_is_swapped_in_silence_when_its_end_comes_while_an_answer_is_only_being_played_still():
    house = Household()
    async with house.linked() as (_, link):
        link.say(HandleUpdated(None), LOUD, GenerationComplete(), GoAway(Seconds(3.0)))
        await asyncio.sleep(3)
        assert len(house.connector.links) == 2
        assert not any(isinstance(event, LinkLost) for event in house.events)


async def test_what_wants_another_link_some_time_gets_it_in_silence():
    house = Household()
    async with house.linked() as (_, link):
        for after_s in (0.4, 0.4, 0.4, 1.5, 1.5, 1.5):
            link.say(SpeechStarted(), SpeechEnded())
            await asyncio.sleep(after_s)
            link.say(LOUD, TurnComplete())
            await asyncio.sleep(1)
        assert len(house.connector.links) == 2, "answers take longer and longer"
