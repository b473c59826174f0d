"""Watchdogs of the manager: an unanswered question is reported, asked again, and then given up."""

import asyncio

from appliance.core.effects import Session
from appliance.core.events import LinkLost, Trouble, Unanswered, UserSilent, UserSpeech
from appliance.core.state import Mode
from appliance.live.messages import GenerationComplete, SpeechEnded, SpeechStarted, TurnComplete
from appliance.live.ports import Traffic
from appliance.units import Seconds
from tests.live.session.messages import H, beats
from tests.live.session.story import LOUD, MUTE
from tests.support.live import FakeUplink, Household, closing, opening, settle


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


async def test_first_words_that_the_service_does_not_hear_are_noticed_here():
    house = Household()
    async with house.linked() as (manager, _):
        for probability, blocks in ((0.1, 50), (0.9, 50), (0.1, 100)):
            for _ in range(blocks):
                manager.listen(probability, Seconds(0.02))
        await beats()
        assert house.events == [UserSilent(1)]
        await asyncio.sleep(7.5)
        assert house.events[1:] == [Unanswered(1, repeatable=True)]


async def test_whoever_begins_to_speak_is_given_time_to_finish_though_the_service_tells_nothing():
    house = Household()
    async with house.linked() as (manager, _):
        for probability, blocks in ((0.1, 50), (0.9, 50)):
            for _ in range(blocks):
                manager.listen(probability, Seconds(0.02))
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
