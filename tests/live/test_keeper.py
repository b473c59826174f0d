import asyncio

import pytest

from appliance.core.events import (
    LinkFailed,
    LinkLost,
    LinkOpened,
    ReplyEnded,
    ReplyStarted,
    ServerInterrupted,
    ToolsCalled,
    ToolsCancelled,
    Trouble,
    UserSilent,
    UserSpeech,
)
from appliance.core.state import Mode
from appliance.errors import ApplianceError, LinkCause, LinkError, ProvisioningUnreachable, TokenRefused
from appliance.live.handover import CAPACITY_S
from appliance.live.keeper import DRAIN_S, KeeperCounts, trouble_of
from appliance.live.ports import (
    GenerationComplete,
    GoAway,
    HandleUpdated,
    HeardText,
    Interrupted,
    LinkMessage,
    ReplyAudio,
    SpeechEnded,
    SpeechStarted,
    SpokenText,
    ToolCall,
    ToolCallsCancelled,
    ToolResult,
    TurnComplete,
    UsageReported,
)
from appliance.units import Seconds
from tests.clock import run_virtual
from tests.live.fakes import (
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


def test_an_open_link_gets_the_uplink_and_is_told():
    async def main():
        house = Household()
        async with house.keeping() as keeper:
            keeper.open(opening(1))
            await settle()
            assert house.uplink.sink is house.connector.links[0]
            assert house.events == [LinkOpened(1)]
            assert house.tokens.asked == [False]
        assert house.events == [LinkOpened(1)]

    run_virtual(main)


MOMENTS_S = [0.0, 0.25, 0.5, 0.75, 1.0, 1.25]
"""Before, while and after a token is fetched and a link is opened, which takes half a second each."""


def test_closing_at_any_moment_leaves_nothing_open_and_is_followed_by_silence():
    async def close_after(moment_s: float) -> None:
        house = Household(FakeTokens(delay_s=0.5), FakeConnector(open_s=0.5, close_s=0.3), FakeUplink(drain_s=0.1))
        async with house.keeping() as keeper:
            keeper.open(opening(1))
            await asyncio.sleep(moment_s)
            told = list(house.events)
            keeper.close(closing(1))
            for link in house.connector.links:
                link.say(A, GenerationComplete())
                link.lose()
            await asyncio.sleep(0.5)
            assert house.connector.connections == 0
            assert house.uplink.sink is None
            assert ("attach" in house.uplink.log) == (told == [LinkOpened(1)])
            assert house.events == told
            assert not house.errors

    async def main():
        for moment_s in MOMENTS_S:
            await close_after(moment_s)

    run_virtual(main)


def test_ending_at_any_moment_leaves_nothing_open():
    async def main():
        for moment_s in MOMENTS_S:
            house = Household(FakeTokens(delay_s=0.5), FakeConnector(open_s=0.5, close_s=0.3))
            async with house.keeping() as keeper:
                keeper.open(opening(1))
                await asyncio.sleep(moment_s)

    run_virtual(main)


def test_the_next_link_is_opened_once_the_last_one_is_closed():
    async def main():
        house = Household(connector=FakeConnector(close_s=1.0))
        async with house.linked() as (keeper, _):
            began = now()
            keeper.close(closing(1))
            keeper.open(opening(2, resume=True))
            await asyncio.sleep(0.9)
            assert house.events == []
            await asyncio.sleep(0.2)
            assert house.events == [LinkOpened(2)]
            assert now() - began < 1.2

    run_virtual(main)


def test_who_waits_for_the_end_waits_until_the_link_is_closed():
    async def main():
        house = Household(connector=FakeConnector(close_s=1.0), uplink=FakeUplink(drain_s=0.2))
        async with house.linked() as (keeper, _):
            keeper.close(closing(1))
            began = now()
            await keeper.closed()
            assert now() - began == pytest.approx(1.2)
            await keeper.closed()
            assert house.connector.connections == 0

    run_virtual(main)


def test_of_several_orders_only_the_last_is_carried_out():
    async def main():
        house = Household()
        async with house.keeping() as keeper:
            keeper.open(opening(1))
            keeper.close(closing(1))
            keeper.open(opening(2))
            keeper.close(closing(1))
            await settle()
            assert house.events == [LinkOpened(2)]
            assert len(house.connector.links) == 1

    run_virtual(main)


def test_a_new_order_takes_the_place_of_the_link_that_is_open():
    async def main():
        house = Household()
        async with house.linked() as (keeper, _):
            keeper.open(opening(2))
            await settle()
            assert house.events == [LinkOpened(2)]

    run_virtual(main)


@pytest.mark.parametrize(("drain_s", "closed_after"), [(0.2, 0.2), (60.0, DRAIN_S)])
def test_a_closing_link_waits_a_little_for_what_was_captured(drain_s, closed_after):
    async def main():
        house = Household(uplink=FakeUplink(drain_s=drain_s))
        async with house.linked() as (keeper, _):
            keeper.close(closing(1))
            await asyncio.sleep(closed_after - 0.01)
            assert house.connector.connections == 1
            await asyncio.sleep(0.02)
            assert house.connector.connections == 0
            assert house.uplink.sink is None

    run_virtual(main)


# Failing and being lost


@pytest.mark.parametrize(
    ("error", "trouble"),
    [
        (ProvisioningUnreachable("x"), Trouble.NETWORK),
        (TokenRefused("x"), Trouble.REFUSED),
        (LinkError("x", LinkCause.UNREACHABLE), Trouble.NETWORK),
        (LinkError("x", LinkCause.REFUSED), Trouble.REFUSED),
        (LinkError("x", LinkCause.QUOTA), Trouble.QUOTA),
        (LinkError("x", LinkCause.PROTOCOL), Trouble.NETWORK),
        (LinkError("x", LinkCause.DROPPED), Trouble.NETWORK),
        (LinkError("x", LinkCause.ENDED), Trouble.NETWORK),
    ],
)
def test_every_error_is_a_trouble_of_the_household(error, trouble):
    assert trouble_of(error) is trouble


@pytest.mark.parametrize("where", ["token", "link"])
def test_a_link_that_cannot_be_opened_is_told_once_and_another_may_follow(where):
    error: ApplianceError = TokenRefused("no") if where == "token" else LinkError("no", LinkCause.REFUSED)

    async def main():
        house = Household()
        house.tokens.error = error if where == "token" else None
        house.connector.error = error if isinstance(error, LinkError) else None
        async with house.keeping() as keeper:
            keeper.open(opening(1))
            await settle()
            assert house.events == [LinkFailed(1, Trouble.REFUSED)]
            assert house.errors == [error]
            house.tokens.error = house.connector.error = None
            keeper.close(closing(1))
            keeper.open(opening(2))
            await settle()
            assert house.events[1:] == [LinkOpened(2)]

    run_virtual(main)


def test_a_lost_link_is_told_once_and_lets_the_uplink_go():
    async def main():
        house = Household(connector=FakeConnector(close_s=1.0))
        async with house.linked() as (_, link):
            link.lose(LinkCause.QUOTA)
            await settle()
            assert house.uplink.sink is None
            await asyncio.sleep(2.0)
            assert house.events == [LinkLost(1, resumable=False, trouble=Trouble.QUOTA)]
            assert [str(error) for error in house.errors] == ["lost"]

    run_virtual(main)


def test_the_conversation_may_answer_a_loss_at_once():
    async def main():
        house = Household(connector=FakeConnector(close_s=0.2))
        async with house.linked() as (keeper, link):
            house.on_event = lambda event: keeper.open(opening(2, resume=True)) if isinstance(event, LinkLost) else None
            link.say(HandleUpdated("h"))
            link.lose()
            await asyncio.sleep(1.0)
            assert house.events == [LinkLost(1, resumable=True, trouble=Trouble.NETWORK), LinkOpened(2)]
            assert house.connector.handles == [None, "h"]
            assert house.tokens.asked == [False, True]

    run_virtual(main)


def test_the_newest_handle_counts_until_the_service_takes_it_back():
    async def main():
        house = Household()
        async with house.linked() as (keeper, link):
            link.say(HandleUpdated("old"), HandleUpdated("new"))
            await settle()
            keeper.open(opening(2, resume=True))
            await settle()
            house.connector.links[1].say(HandleUpdated(None))
            house.connector.links[1].lose()
            await settle()
            keeper.open(opening(3, resume=True))
            await settle()
        assert house.connector.handles == [None, "new", None]
        assert LinkLost(2, resumable=False, trouble=Trouble.NETWORK) in house.events

    run_virtual(main)


def test_a_handle_that_comes_while_the_link_closes_is_kept():
    async def main():
        house = Household(uplink=FakeUplink(drain_s=0.2))
        async with house.linked() as (keeper, link):
            keeper.close(closing(1))
            await asyncio.sleep(0.1)
            link.say(A, HandleUpdated("h"), ToolCall("1", "get_time", {}), HeardText("bye"), TurnComplete())
            await asyncio.sleep(0.2)
            keeper.open(opening(2, resume=True))
            await settle()
        assert house.connector.handles == [None, "h"]
        assert house.events == [LinkOpened(2)]
        assert [house.playback.played, house.calls, house.remarks] == [{}, [], []]

    run_virtual(main)


def test_a_new_conversation_begins_without_the_handle_of_the_last():
    async def main():
        house = Household()
        async with house.linked() as (keeper, link):
            link.say(HandleUpdated("h"))
            await settle()
            for number in (2, 3):
                keeper.open(opening(number, resume=number == 3))
                await settle()
        assert house.connector.handles == [None, None, None]

    run_virtual(main)


@pytest.mark.parametrize(("cause", "then"), [(LinkCause.REFUSED, None), (LinkCause.UNREACHABLE, "h")])
def test_a_handle_is_forgotten_when_it_is_refused_and_only_then(cause, then):
    async def main():
        house = Household()
        async with house.linked() as (keeper, link):
            link.say(HandleUpdated("h"))
            link.lose()
            await settle()
            house.connector.error = LinkError("no", cause)
            keeper.open(opening(2, resume=True))
            await settle()
            house.connector.error = None
            keeper.open(opening(3, resume=True))
            await settle()
        assert house.connector.handles == [None, "h", then]

    run_virtual(main)


def test_a_reply_that_has_ended_is_told_before_the_loss_of_its_link():
    async def main():
        house = Household()
        async with house.linked() as (_, link):
            link.say(A, B, GenerationComplete())
            link.lose()
            await settle()
            assert house.events == [
                ReplyStarted(1, 1),
                ReplyEnded(1, 1),
                LinkLost(1, resumable=False, trouble=Trouble.NETWORK),
            ]
            assert house.playback.played == {1: A.pcm + B.pcm}

    run_virtual(main)


def test_a_loss_is_told_although_playback_is_full():
    async def main():
        house = Household(playback=FakePlayback(ring_s=5.0))
        async with house.linked() as (_, link):
            link.say(*[SECOND] * 10, GenerationComplete())
            link.lose()
            await asyncio.sleep(DRAIN_S + 0.1)
            assert house.events[-1] == LinkLost(1, resumable=False, trouble=Trouble.NETWORK)

    run_virtual(main)


# Replies


def test_a_reply_is_played_and_told_in_order():
    async def main():
        house = Household()
        async with house.linked() as (_, link):
            link.say(A, B, GenerationComplete(), TurnComplete(), C, TurnComplete(), TurnComplete())
            await settle()
        assert house.playback.played == {1: A.pcm + B.pcm, 2: C.pcm}
        assert house.events == [
            ReplyStarted(1, 1),
            ReplyStarted(1, 2),
            ReplyEnded(1, 1),
            ReplyEnded(1, 2),
            ReplyEnded(1, 0),
        ]

    run_virtual(main)


def test_the_end_of_a_reply_waits_for_the_playback_of_its_last_audio():
    async def main():
        house = Household(playback=FakePlayback(ring_s=2.0))
        async with house.linked() as (_, link):
            link.say(SECOND, SECOND, SECOND, GenerationComplete())
            await settle()
            assert house.events == [ReplyStarted(1, 1)]
            house.playback.ring_s = 10.0
            house.playback._room.set()
            await settle()
            assert house.events == [ReplyStarted(1, 1), ReplyEnded(1, 1)]

    run_virtual(main)


def test_an_interruption_is_seen_although_playback_is_full_and_drops_what_waits():
    async def main():
        house = Household(playback=FakePlayback(ring_s=5.0))
        async with house.linked() as (keeper, link):
            link.say(*[SECOND] * 60)
            await settle()
            assert len(house.playback.played[1]) == 5 * len(SECOND.pcm)
            link.say(Interrupted(), SECOND, TurnComplete(), A, TurnComplete())
            await settle()
            assert house.events == [
                ReplyStarted(1, 1),
                ServerInterrupted(1),
                ReplyStarted(1, 2),
                ReplyEnded(1, 2),
            ]
            assert len(house.playback.played[1]) == 5 * len(SECOND.pcm)
            assert house.playback.played[2] == A.pcm
            assert house.playback.offered == 5 + 1 + 1
            assert keeper.counts == KeeperCounts(len(SECOND.pcm), 0, 0)

    run_virtual(main)


def test_a_reply_longer_than_all_buffers_makes_the_service_wait_and_discarding_it_frees_the_link():
    async def main():
        house = Household(playback=FakePlayback(ring_s=5.0))
        async with house.linked() as (keeper, link):
            link.say(*[SECOND] * int(CAPACITY_S + 20))
            await settle()
            assert link.unread > 0
            assert keeper.counts.waits_for_playback > 0
            house.playback.flush()
            keeper.discard()
            link.say(TurnComplete(), A, TurnComplete())
            await settle()
            assert link.unread == 0
            assert house.playback.offered == 5 + 1 + 1
            assert house.playback.played[2] == A.pcm
            assert house.events == [ReplyStarted(1, 1), ReplyStarted(1, 2), ReplyEnded(1, 2)]

    run_virtual(main)


def test_a_reply_that_is_discarded_as_it_begins_is_never_heard():
    async def main():
        house = Household()
        async with house.linked() as (keeper, link):
            house.on_event = lambda event: keeper.discard() if isinstance(event, ReplyStarted) else None
            link.say(A, B, GenerationComplete(), TurnComplete())
            await settle()
            assert house.events == [ReplyStarted(1, 1)]
            assert not house.playback.played

    run_virtual(main)


def test_a_link_that_waits_for_playback_can_be_closed():
    async def main():
        house = Household(playback=FakePlayback(ring_s=5.0))
        async with house.linked() as (keeper, link):
            link.say(*[SECOND] * int(CAPACITY_S + 20))
            await settle()
            keeper.close(closing(1))
            await settle()
            assert house.connector.connections == 0

    run_virtual(main)


def test_epochs_go_on_over_links():
    async def main():
        house = Household()
        async with house.linked() as (keeper, link):
            link.say(A)
            await settle()
            keeper.open(opening(2))
            await settle()
            house.connector.links[1].say(B)
            await settle()
        assert house.playback.played == {1: A.pcm, 2: B.pcm}

    run_virtual(main)


# The person


@pytest.mark.parametrize(
    ("mode", "told"),
    [(Mode.HANDS_FREE, [UserSpeech(1), UserSilent(1)]), (Mode.PUSH_TO_TALK, [])],
    ids=["hands-free", "push-to-talk"],
)
def test_the_person_is_reported_once_a_turn_and_only_hands_free(mode, told):
    async def main():
        house = Household()
        async with house.linked(mode) as (_, link):
            link.say(SpeechStarted(), HeardText("what"), SpeechEnded(), HeardText(" time"))
            await settle()
            assert house.events == told
            assert house.remarks == [HeardText("what"), HeardText(" time")]
            link.say(A, HeardText(" is it"), GenerationComplete(), TurnComplete())
            await settle()
            assert house.events[len(told) :] == [ReplyStarted(1, 1), ReplyEnded(1, 1)]

    run_virtual(main)


# Tools and remarks


def test_tool_calls_are_handed_on_and_answered():
    async def main():
        house = Household()
        call = ToolCall("1", "get_time", {})
        async with house.linked() as (keeper, link):
            link.say(call, ToolCallsCancelled(("1",)))
            await settle()
            keeper.send_tool_result(RESULT)
            await settle()
            assert house.calls == [call]
            assert house.events == [ToolsCalled(1, ("1",)), ToolsCancelled(1, ("1",))]
            assert link.results == [RESULT]
            assert keeper.counts.tool_results_dropped == 0

    run_virtual(main)


def test_a_result_without_a_link_is_dropped_and_counted():
    async def main():
        house = Household()
        async with house.keeping() as keeper:
            keeper.send_tool_result(RESULT)
            keeper.open(opening(1))
            await settle()
            link = house.connector.links[0]
            link.lose()
            keeper.send_tool_result(RESULT)
            await settle()
            assert link.results == []
            assert keeper.counts.tool_results_dropped == 2

    run_virtual(main)


def test_what_is_only_of_interest_is_handed_on():
    remarks: list[LinkMessage] = [SpokenText("noon"), UsageReported(7), GoAway(Seconds(50.0))]

    async def main():
        house = Household()
        async with house.linked() as (_, link):
            link.say(*remarks)
            await settle()
        assert house.remarks == remarks
        assert house.events == []

    run_virtual(main)
