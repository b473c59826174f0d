import asyncio

import pytest

from appliance.core.effects import Session
from appliance.core.events import (
    Continuity,
    LinkFailed,
    LinkLost,
    LinkOpened,
    ReplyEnded,
    ReplyStarted,
    Trouble,
)
from appliance.errors import ApplianceError, LinkAction, LinkCause, LinkError, ProvisioningUnreachable, TokenRefused
from appliance.live.connecting.connector import trouble_of
from appliance.live.messages import GenerationComplete, HandleUpdated, HeardText, ReplyAudio, ToolCall, TurnComplete
from appliance.live.ports import ToolResult
from appliance.live.session.manager import DRAIN_S
from tests.support.live import (
    FakeConnector,
    FakePlayback,
    FakeTokens,
    FakeUplink,
    Household,
    closing,
    opening,
    settle,
)

A, B, C = (ReplyAudio(bytes([n, n])) for n in (1, 2, 3))
SECOND = ReplyAudio(bytes(48_000))
RESULT = ToolResult("1", "get_time", {"time": "noon"})


def now() -> float:
    return asyncio.get_running_loop().time()


# Opening and closing


async def test_an_open_link_gets_the_uplink_and_is_told():
    house = Household()
    async with house.keeping() as manager:
        manager.open(opening(1))
        await settle()
        assert house.uplink.sink is house.connector.links[0]
        assert house.events == [LinkOpened(1)]
        assert house.tokens.asked == [False]
    assert house.events == [LinkOpened(1)]


MOMENTS_S = [0.0, 0.25, 0.5, 0.75, 1.0, 1.25]
"""Before, while and after a token is fetched and a link is opened, which takes half a second each."""


async def test_closing_at_any_moment_leaves_nothing_open_and_is_followed_by_silence():
    async def close_after(moment_s: float) -> None:
        house = Household(FakeTokens(delay_s=0.5), FakeConnector(open_s=0.5, close_s=0.3), FakeUplink(drain_s=0.1))
        async with house.keeping() as manager:
            manager.open(opening(1))
            await asyncio.sleep(moment_s)
            told = list(house.events)
            manager.close(closing(1))
            for link in house.connector.links:
                link.say(A, GenerationComplete())
                link.lose()
            await asyncio.sleep(0.5)
            assert house.connector.connections == 0
            assert house.uplink.sink is None
            assert ("attach" in house.uplink.log) == (told == [LinkOpened(1)])
            assert house.events == told
            assert not house.errors

    for moment_s in MOMENTS_S:
        await close_after(moment_s)


async def test_ending_at_any_moment_leaves_nothing_open():
    for moment_s in MOMENTS_S:
        house = Household(FakeTokens(delay_s=0.5), FakeConnector(open_s=0.5, close_s=0.3))
        async with house.keeping() as manager:
            manager.open(opening(1))
            await asyncio.sleep(moment_s)


async def test_the_next_link_is_opened_once_the_last_one_is_closed():
    house = Household(connector=FakeConnector(close_s=1.0))
    async with house.linked() as (manager, _):
        began = now()
        manager.close(closing(1))
        manager.open(opening(2, Session.RESUME))
        await asyncio.sleep(0.9)
        assert house.events == []
        await asyncio.sleep(0.2)
        assert house.events == [LinkOpened(2)]
        assert now() - began < 1.2


async def test_who_waits_for_the_end_waits_until_the_link_is_closed():
    house = Household(connector=FakeConnector(close_s=1.0), uplink=FakeUplink(drain_s=0.2))
    async with house.linked() as (manager, _):
        manager.close(closing(1))
        began = now()
        await manager.closed()
        assert now() - began == pytest.approx(1.2)
        await manager.closed()
        assert house.connector.connections == 0


async def test_of_several_orders_only_the_last_is_carried_out():
    house = Household()
    async with house.keeping() as manager:
        manager.open(opening(1))
        manager.close(closing(1))
        manager.open(opening(2))
        manager.close(closing(1))
        await settle()
        assert house.events == [LinkOpened(2)]
        assert len(house.connector.links) == 1


async def test_a_new_order_takes_the_place_of_the_link_that_is_open():
    house = Household()
    async with house.linked() as (manager, _):
        manager.open(opening(2))
        await settle()
        assert house.events == [LinkOpened(2)]


@pytest.mark.parametrize(("drain_s", "closed_after"), [(0.2, 0.2), (60.0, DRAIN_S)])
async def test_a_closing_link_waits_a_little_for_what_was_captured(drain_s, closed_after):
    house = Household(uplink=FakeUplink(drain_s=drain_s))
    async with house.linked() as (manager, _):
        manager.close(closing(1))
        await asyncio.sleep(closed_after - 0.01)
        assert house.connector.connections == 1
        await asyncio.sleep(0.02)
        assert house.connector.connections == 0
        assert house.uplink.sink is None


# Failing and being lost


@pytest.mark.parametrize(
    ("error", "trouble"),
    [
        (ProvisioningUnreachable("x"), Trouble.NETWORK),
        (TokenRefused("x"), Trouble.REFUSED),
        (LinkError("x", LinkCause.UNREACHABLE), Trouble.SERVICE),
        (LinkError("x", LinkCause.REFUSED), Trouble.REFUSED),
        (LinkError("x", LinkCause.QUOTA), Trouble.QUOTA),
        (LinkError("x", LinkCause.PROTOCOL), Trouble.LOST),
        (LinkError("x", LinkCause.DROPPED), Trouble.LOST),
        (LinkError("x", LinkCause.ENDED), Trouble.LOST),
    ],
)
def test_every_error_is_a_trouble_of_the_household(error, trouble):
    assert trouble_of(error) is trouble


@pytest.mark.parametrize("where", ["token", "link"])
async def test_a_link_that_cannot_be_opened_is_told_once_and_another_may_follow(where):
    refused = LinkError("no", LinkCause.REFUSED, LinkAction.GIVE_UP_AUTH)
    error: ApplianceError = TokenRefused("no") if where == "token" else refused

    house = Household()
    house.tokens.error = error if where == "token" else None
    house.connector.error = error if isinstance(error, LinkError) else None
    async with house.keeping() as manager:
        manager.open(opening(1))
        await settle()
        assert house.events == [LinkFailed(1, Trouble.REFUSED)]
        assert house.errors == [error]
        house.tokens.error = house.connector.error = None
        manager.close(closing(1))
        manager.open(opening(2))
        await settle()
        assert house.events[1:] == [LinkOpened(2)]


async def test_a_lost_link_is_told_once_and_lets_the_uplink_go():
    house = Household(connector=FakeConnector(close_s=1.0))
    async with house.linked() as (_, link):
        link.lose(LinkCause.QUOTA)
        await settle()
        assert house.uplink.sink is None
        await asyncio.sleep(2.0)
        assert house.events == [LinkLost(1, resumable=False, trouble=Trouble.QUOTA)]
        assert [str(error) for error in house.errors] == ["lost"]


async def test_the_conversation_may_answer_a_loss_at_once():
    house = Household(connector=FakeConnector(close_s=0.2))
    async with house.linked() as (manager, link):
        again = opening(2, Session.RESUME)
        house.on_event = lambda event: manager.open(again) if isinstance(event, LinkLost) else None
        link.say(HandleUpdated("h"))
        link.lose()
        await asyncio.sleep(1.0)
        assert house.events == [
            LinkLost(1, resumable=True, trouble=Trouble.LOST),
            LinkOpened(2, Continuity.FULL),
        ]
        assert house.connector.handles == [None, "h"]
        assert house.tokens.asked == [False], "the same token resumes"


async def test_a_handle_that_comes_while_the_link_closes_is_kept():
    house = Household(uplink=FakeUplink(drain_s=0.2))
    async with house.linked() as (manager, link):
        manager.close(closing(1))
        await asyncio.sleep(0.1)
        link.say(A, HandleUpdated("h"), ToolCall("1", "get_time", {}), HeardText("bye"), TurnComplete())
        await asyncio.sleep(0.2)
        manager.open(opening(2, Session.RESUME))
        await settle()
    assert house.connector.handles == [None, "h"]
    assert house.events == [LinkOpened(2, Continuity.FULL)]
    assert [house.playback.played, house.calls, house.said] == [{}, [], []]


async def test_a_reply_that_has_ended_is_told_before_the_loss_of_its_link():
    house = Household()
    async with house.linked() as (_, link):
        link.say(A, B, GenerationComplete())
        link.lose()
        await settle()
        assert house.events == [
            ReplyStarted(1, 1),
            ReplyEnded(1, 1),
            LinkLost(1, resumable=True, trouble=Trouble.LOST),
        ]
        assert house.playback.played == {1: A.pcm + B.pcm}


async def test_a_loss_is_told_once_playback_has_room_for_what_came_before_it():
    house = Household(playback=FakePlayback(ring_s=5.0))
    async with house.linked() as (_, link):
        link.say(*[SECOND] * 10, GenerationComplete())
        link.lose()
        await settle()
        assert house.events == [ReplyStarted(1, 1)]
        house.playback.ring_s = 10.0
        house.playback._room.set()
        await settle()
        assert house.events[1:-1] == [ReplyEnded(1, 1)]
        assert house.events[-1] == LinkLost(1, resumable=True, trouble=Trouble.LOST)


async def test_what_a_lost_link_did_not_deliver_is_requeued_before_anybody_is_told():
    house = Household()
    async with house.linked() as (_, link):
        link.never_arrived = 1_280
        link.lose()
        await settle()
        assert house.uplink.log == ["attach", "take back 1280", "detach"]
        assert [type(event) for event in house.events] == [LinkLost]
