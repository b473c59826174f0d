"""Messages of a link: replies to playback, in order and once, facts to the conversation, words to whoever listens."""

import logging

import pytest

from appliance.core.events import (
    ReplyEnded,
    ReplyStarted,
    ServerInterrupted,
    ToolsCalled,
    ToolsCancelled,
    UserSilent,
    UserSpeech,
)
from appliance.core.state import Mode
from appliance.live.messages import (
    GenerationComplete,
    GoAway,
    Grounding,
    HeardText,
    Interrupted,
    ReplyAudio,
    SpeechEnded,
    SpeechStarted,
    SpokenText,
    ToolCall,
    ToolCallsCancelled,
    TurnComplete,
    UsageReported,
)
from appliance.live.ports import HistorySeed, Role, SeedMethod, ToolResult, Turn
from appliance.live.session.callbacks import SessionCounts
from appliance.units import Seconds
from tests.support.live import FakePlayback, Household, closing, opening, settle

A, B, C = (ReplyAudio(bytes([n, n, 0, 0])) for n in (1, 2, 3))
SECOND = ReplyAudio(bytes(48_000))
RESULT = ToolResult("1", "get_time", {"time": "noon"})


# Replies


async def test_a_reply_is_played_and_told_in_order():
    house = Household()
    async with house.linked() as (_, link):
        link.say(A, B, GenerationComplete(), TurnComplete(), C, TurnComplete(), TurnComplete())
        await settle()
    assert house.playback.played == {1: A.pcm + B.pcm, 2: C.pcm}
    assert house.events == [
        ReplyStarted(1, 1),
        ReplyEnded(1, 1),
        ReplyStarted(1, 2),
        ReplyEnded(1, 2),
        ReplyEnded(1, 0),
    ]


async def test_the_end_of_a_reply_waits_for_the_playback_of_its_last_audio():
    house = Household(playback=FakePlayback(ring_s=2.0))
    async with house.linked() as (_, link):
        link.say(SECOND, SECOND, SECOND, GenerationComplete())
        await settle()
        assert house.events == [ReplyStarted(1, 1)]
        house.playback.ring_s = 10.0
        house.playback._room.set()
        await settle()
        assert house.events == [ReplyStarted(1, 1), ReplyEnded(1, 1)]


async def test_audio_behind_an_interruption_is_dropped_and_counted():
    house = Household()
    async with house.linked() as (manager, link):
        link.say(SECOND, Interrupted(), SECOND, TurnComplete(), A, TurnComplete())
        await settle()
        assert house.events == [
            ReplyStarted(1, 1),
            ServerInterrupted(1),
            ReplyStarted(1, 2),
            ReplyEnded(1, 2),
        ]
        assert house.playback.played == {1: SECOND.pcm, 2: A.pcm}
        assert manager.counts == SessionCounts(len(SECOND.pcm), 0, 0, 0)


async def test_a_reply_longer_than_playback_holds_makes_the_service_wait_and_discarding_it_frees_the_link():
    house = Household(playback=FakePlayback(ring_s=5.0))
    async with house.linked() as (manager, link):
        link.say(*[SECOND] * 20)
        await settle()
        assert link.unread > 0
        house.playback.flush()
        manager.discard()
        link.say(TurnComplete(), A, TurnComplete())
        await settle()
        assert link.unread == 0
        assert house.playback.offered == 5 + 1 + 1
        assert house.playback.played[2] == A.pcm
        assert house.events == [ReplyStarted(1, 1), ReplyStarted(1, 2), ReplyEnded(1, 2)]


async def test_a_reply_that_is_discarded_as_it_begins_is_never_heard():
    house = Household()
    async with house.linked() as (manager, link):
        house.on_event = lambda event: manager.discard() if isinstance(event, ReplyStarted) else None
        link.say(A, B, GenerationComplete(), TurnComplete())
        await settle()
        assert house.events == [ReplyStarted(1, 1)]
        assert not house.playback.played


async def test_a_link_that_waits_for_playback_can_be_closed():
    house = Household(playback=FakePlayback(ring_s=5.0))
    async with house.linked() as (manager, link):
        link.say(*[SECOND] * 20)
        await settle()
        manager.close(closing(1))
        await settle()
        assert house.connector.connections == 0


async def test_epochs_go_on_over_links():
    house = Household()
    async with house.linked() as (manager, link):
        link.say(A)
        await settle()
        manager.open(opening(2))
        await settle()
        house.connector.links[1].say(B)
        await settle()
    assert house.playback.played == {1: A.pcm, 2: B.pcm}


# The person


@pytest.mark.parametrize(
    ("mode", "told"),
    [(Mode.HANDS_FREE, [UserSpeech(1), UserSilent(1)]), (Mode.PUSH_TO_TALK, [])],
    ids=["hands-free", "push-to-talk"],
)
async def test_the_person_is_reported_once_a_turn_and_only_hands_free(mode, told):
    house = Household()
    async with house.linked(mode) as (_, link):
        link.say(SpeechStarted(), HeardText("what"), SpeechEnded(), HeardText(" time"))
        await settle()
        assert house.events == told
        link.say(A, HeardText(" is it"), GenerationComplete(), TurnComplete())
        await settle()
        assert house.events[len(told) :] == [ReplyStarted(1, 1), ReplyEnded(1, 1)]


# Tools and remarks


async def test_tool_calls_are_handed_on_and_answered():
    house = Household()
    call = ToolCall("1", "get_time", {})
    async with house.linked() as (manager, link):
        link.say(call, ToolCallsCancelled(("1",)))
        await settle()
        manager.send_tool_result(RESULT)
        await settle()
        assert house.calls == [call]
        assert house.events == [ToolsCalled(1, ("1",)), ToolsCancelled(1, ("1",))]
        assert link.results == [RESULT]
        assert manager.counts.tool_results_dropped == 0


async def test_words_are_handed_on_turn_by_turn():
    house = Household()
    async with house.linked() as (_, link):
        link.say(HeardText(" what"), HeardText(" time"), SpokenText(" Noon"), A, SpokenText("."), TurnComplete())
        await settle()
        assert house.said == [Turn(Role.PERSON, "what time"), Turn(Role.MODEL, "Noon.")]
        link.say(SpokenText(" And"), Interrupted())
        await settle()
        assert house.said[2:] == [Turn(Role.MODEL, "And")]


async def test_what_is_no_news_for_the_conversation_is_not_told():
    house = Household()
    async with house.linked() as (_, link):
        link.say(SpokenText("noon"), UsageReported(7), GoAway(Seconds(50.0)), Grounding(("https://a",)))
        await settle()
        assert house.events == []


@pytest.mark.parametrize(
    ("report_truncation", "transcribed", "seeds"),
    [
        (True, True, ['(The person interrupted. Of your last answer they heard only: "One two")']),
        (True, False, []),
        (False, True, []),
    ],
)
async def test_the_model_is_told_what_was_heard_of_an_answer_that_was_cut_off(report_truncation, transcribed, seeds):
    house = Household(report_truncation=report_truncation)
    async with house.linked() as (_, link):
        if transcribed:
            link.say(SpokenText(" One two three four."))
        link.say(SECOND, SECOND)
        await settle()
        house.playback.heard_of = {1: 24_000}
        link.say(Interrupted())
        await settle()
        notes = [HistorySeed(SeedMethod.CONTENT, (Turn(Role.PERSON, note),)) for note in seeds]
        assert link.seeds == notes
        link.say(Interrupted())
        await settle()
        assert link.seeds == notes, "once"


async def test_how_much_of_an_answer_was_heard_is_logged_and_its_words_are_not(caplog: pytest.LogCaptureFixture):
    with caplog.at_level(logging.DEBUG, "appliance"):
        house = Household()
        async with house.linked() as (_, link):
            link.say(SpokenText(" One two three four."), SECOND, SECOND)
            await settle()
            house.playback.heard_of = {1: 24_000}
            link.say(Interrupted())
            await settle()
    assert "reply.cut heard_ms=1000 received_ms=2000" in [record.getMessage() for record in caplog.records]
    assert "two" not in caplog.text


async def test_an_answer_that_was_heard_to_its_end_was_not_cut_off():
    house = Household()
    async with house.linked() as (manager, link):
        link.say(SpokenText(" One."), SECOND, GenerationComplete(), TurnComplete())
        await settle()
        house.playback.heard_of = {1: 24_000}
        manager.discard()
        link.say(Interrupted())
        await settle()
        assert link.seeds == []
