"""Links are swapped in silence, and watched: what nobody has to notice is not told, and what somebody waits for is."""

import asyncio
from dataclasses import replace

import pytest

from appliance.core.effects import Session
from appliance.core.events import (
    CapReached,
    LinkFailed,
    LinkLost,
    LinkOpened,
    ReplyEnded,
    ReplyStarted,
    ToolsCalled,
    Trouble,
    Unanswered,
    UserSilent,
    UserSpeech,
)
from appliance.core.state import Mode
from appliance.errors import LinkAction, LinkCause, LinkError
from appliance.live.connecting.rotation import MAX_AGE_S
from appliance.live.messages import (
    GenerationComplete,
    GoAway,
    HandleUpdated,
    LinkMessage,
    ReplyAudio,
    SpeechEnded,
    SpeechStarted,
    TokenCount,
    ToolCall,
    TurnComplete,
    UsageReported,
)
from appliance.live.ports import ToolResult, Traffic
from appliance.live.usage.pricing import Caps
from appliance.units import Dbfs, Seconds
from tests.live.session.story import LOUD, MUTE
from tests.support.live import MODEL, FakeConnector, FakeUplink, Household, closing, opening, settle

CALL = ToolCall("1", "get_time", {})
RESULT = ToolResult("1", "get_time", {"time": "noon"})
H = HandleUpdated("h")
SOON = GoAway(Seconds(50.0))


async def beats(number: int = 2) -> None:
    """Let the manager look after its link."""
    await asyncio.sleep(0.25 * number + 0.01)


# Swaps


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


# Watchdogs


async def test_a_question_that_gets_no_answer_is_reported_once_to_be_repeated_and_then_to_be_given_up():
    house = Household()
    async with house.linked() as (manager, link):
        link.say(SpeechStarted(), SpeechEnded())
        await asyncio.sleep(7.5)
        assert house.events == [UserSpeech(1), UserSilent(1), Unanswered(1, repeatable=True)]
        manager.close(closing(1))
        manager.open(opening(2, Session.NEW))
        await beats()
        manager.resend_turn()
        assert house.uplink.log[-1] == "repeat"
        house.connector.links[1].say(SpeechStarted(), SpeechEnded())
        await asyncio.sleep(8)
        assert house.events[-1] == Unanswered(2, repeatable=False)


async def test_a_mute_answer_is_none_and_what_was_said_is_not_taken_for_answered():
    house = Household()
    async with house.linked() as (_, link):
        link.say(SpeechStarted(), SpeechEnded(), *[MUTE] * 25)
        await settle()
        assert house.events[-1] == Unanswered(1, repeatable=True)
        assert "answering" not in house.uplink.log
        link.never_arrived = 1_280
        link.say(LOUD)
        await settle()
        assert house.uplink.log[-1] == "answering"
        assert house.uplink.undelivered == [1_280]
        link.say(GenerationComplete(), TurnComplete())
        await settle()
        assert house.uplink.log[-2:] == ["answering", "answered"]


async def test_a_stalled_uplink_is_swapped_at_once_and_what_did_not_arrive_is_sent_again():
    house = Household(uplink=FakeUplink(drain_s=60.0))
    async with house.linked() as (_, link):
        link.say(H, SpeechStarted())
        link.on_its_way = Traffic(5000, 5000)
        await asyncio.sleep(2.1)
        assert house.connector.handles == [None, "h"]
        assert house.uplink.log == ["attach", "detach", "attach", "repeat"]
        await asyncio.sleep(30)
        assert house.events == [UserSpeech(1)], "the person speaks still, and nobody waits for an answer"


async def test_a_second_stall_without_an_answer_is_a_loss_that_is_told():
    house = Household()
    async with house.linked() as (_, link):
        link.say(H, SpeechStarted())
        link.on_its_way = Traffic(5000, 5000)
        await asyncio.sleep(2.5)
        house.connector.links[1].on_its_way = Traffic(5000, 5000)
        house.connector.links[1].never_arrived = 640
        await asyncio.sleep(2.5)
        assert house.events[1:] == [LinkLost(1, resumable=True, trouble=Trouble.LOST, speaks=True)]
        assert house.uplink.log[-3:] == ["take back 640", "drained", "detach"], (
            "what does not leave goes over the next link"
        )


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


async def test_what_was_written_in_a_conversation_that_had_no_link_is_not_said_in_the_next():
    house = Household(connector=FakeConnector(error=LinkError("no", LinkCause.QUOTA)))
    async with house.keeping() as manager:
        manager.open(opening(1))
        manager.send_text("How late is it?")
        await settle()
        assert house.events == [LinkFailed(1, Trouble.QUOTA)]
        house.connector.error = None
        manager.open(opening(2))
        await settle()
        assert house.connector.links[0].texts == []
        assert manager.counts.texts_dropped == 1


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


async def test_first_words_that_the_service_does_not_hear_are_noticed_here():
    house = Household()
    async with house.linked() as (manager, _):
        for level, blocks in ((-65, 50), (-30, 50), (-65, 100)):
            for _ in range(blocks):
                manager.listen(Dbfs(level), Seconds(0.02))
        await beats()
        assert house.events == [UserSilent(1)]
        await asyncio.sleep(7.5)
        assert house.events[1:] == [Unanswered(1, repeatable=True)]


async def test_whoever_begins_to_speak_is_given_time_to_finish_though_the_service_tells_nothing():
    house = Household()
    async with house.linked() as (manager, _):
        for level, blocks in ((-65, 50), (-30, 50)):
            for _ in range(blocks):
                manager.listen(Dbfs(level), Seconds(0.02))
        await asyncio.sleep(2)
        assert house.events == [UserSpeech(1)], "once"


async def test_a_press_and_its_release_begin_and_end_the_wait():
    house = Household()
    async with house.linked(Mode.PUSH_TO_TALK) as (manager, _):
        manager.begin_speech(Mode.PUSH_TO_TALK)
        await asyncio.sleep(20)
        manager.end_speech()
        await asyncio.sleep(6)
        assert house.events == []
        await asyncio.sleep(2)
        assert house.events == [Unanswered(1, repeatable=True)]


# Results and texts


async def test_a_result_waits_for_the_session_that_asked_for_it():
    house = Household()
    async with house.linked() as (manager, link):
        link.say(H, CALL)
        link.lose()
        await settle()
        manager.open(opening(2, Session.RESUME))
        manager.send_tool_result(RESULT)
        await asyncio.sleep(0.2)
        assert house.connector.links[1].results == [RESULT]
        assert manager.counts.tool_results_dropped == 0


@pytest.mark.parametrize("handle", [None, HandleUpdated(None)])
async def test_a_result_that_no_session_wants_any_more_is_dropped_and_counted(handle):
    house = Household()
    async with house.linked() as (manager, link):
        link.say(*([H, handle] if handle else []), CALL)
        link.lose()
        await settle()
        manager.open(opening(2, Session.RESUME))
        manager.send_tool_result(RESULT)
        await asyncio.sleep(0.2)
        assert house.connector.links[1].results == []
        assert manager.counts.tool_results_dropped == 1


async def test_of_too_many_results_the_oldest_goes_and_all_go_with_the_conversation():
    house = Household()
    async with house.keeping() as manager:
        manager.open(opening(1))
        for number in range(40):
            manager.send_tool_result(replace(RESULT, call=str(number)))
            manager.send_text(str(number))
        assert manager.counts.tool_results_dropped == manager.counts.texts_dropped == 8
        manager.close(closing(1))
        assert manager.counts.tool_results_dropped == manager.counts.texts_dropped == 40


async def test_a_text_is_sent_once_the_link_is_open_and_its_answer_is_waited_for():
    house = Household(connector=FakeConnector(open_s=2.0))
    async with house.keeping() as manager:
        manager.open(opening(1))
        await settle()
        manager.send_text("Hello.")
        await asyncio.sleep(3)
        assert house.connector.links[0].texts == ["Hello."]
        await asyncio.sleep(7)
        assert house.events[1:] == [Unanswered(1, repeatable=True)]
        manager.resend_turn()
        await settle()
        assert house.connector.links[0].texts == ["Hello."], "this link has it"
        manager.close(closing(1))
        manager.open(opening(2, Session.NEW))
        await asyncio.sleep(2.1)
        manager.resend_turn()
        await settle()
        assert house.connector.links[1].texts == ["Hello."]
        house.connector.links[1].say(LOUD, TurnComplete())
        await settle()
        manager.close(closing(2))
        manager.open(opening(3, Session.NEW))
        await asyncio.sleep(2.1)
        manager.resend_turn()
        await settle()
        assert house.connector.links[2].texts == [], "it has its answer"


# Cost


async def test_a_cap_is_told_when_it_is_reached_and_before_a_link_is_opened():
    dear = UsageReported(0, response=TokenCount(audio=100_000))

    house = Household(caps=Caps(day=1.0))
    async with house.linked() as (manager, link):
        link.say(dear)
        await settle()
        assert house.events == [CapReached(1, Trouble.CAP_DAY)]
        manager.close(closing(1))
        manager.open(opening(2))
        await settle()
        assert house.events[1:] == [LinkFailed(2, Trouble.CAP_DAY)]
        assert len(house.connector.links) == 1
    assert house.usage.value is not None, MODEL


async def test_what_is_billed_while_a_link_closes_counts():
    house = Household(uplink=FakeUplink(drain_s=0.3))
    async with house.linked() as (manager, link):
        manager.close(closing(1))
        await asyncio.sleep(0.1)
        link.say(UsageReported(0, response=TokenCount(audio=100_000)), ReplyAudio(b"\0\0"), GenerationComplete())
        await asyncio.sleep(1)
        assert house.events == []
    assert house.usage.value == {"day": "2026-11-20", "today": [100_000, 1_200_000], "month": [100_000, 1_200_000]}


async def test_tool_calls_are_told_one_by_one():
    house = Household()
    async with house.linked() as (_, link):
        link.say(CALL, replace(CALL, id="2"))
        await settle()
        assert house.events == [ToolsCalled(1, ("1",)), ToolsCalled(1, ("2",))]
