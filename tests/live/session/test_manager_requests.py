"""Tool results and texts on their way to the service, and the cost of a link."""

import asyncio
from dataclasses import replace

import pytest

from appliance.core.effects import Session
from appliance.core.events import CapReached, LinkFailed, ToolsCalled, Trouble, Unanswered
from appliance.errors import LinkCause, LinkError
from appliance.live.messages import (
    GenerationComplete,
    HandleUpdated,
    ReplyAudio,
    TokenCount,
    TurnComplete,
    UsageReported,
)
from appliance.live.usage.pricing import Caps
from tests.live.session.messages import CALL, RESULT, H
from tests.live.session.story import LOUD
from tests.support.live import MODEL, FakeConnector, FakeUplink, Household, closing, opening, settle


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
