"""The way down the ladder: what each attempt brings, what makes it bring less, and how long it waits."""

import asyncio
from dataclasses import replace
from itertools import pairwise

import pytest

from appliance.core.effects import Session
from appliance.core.events import (
    Continuity,
    LinkDelayed,
    LinkFailed,
    LinkLost,
    LinkOpened,
    Trouble,
)
from appliance.core.state import Mode
from appliance.errors import LinkAction, LinkCause, LinkError, ProvisioningUnreachable, TokenRefused
from appliance.live.messages import HandleUpdated, HeardText, ReplyAudio, SpokenText, TurnComplete
from appliance.live.ports import HistorySeed, Locks, OptionalFeature, Role, SeedMethod, Turn
from appliance.units import Seconds
from tests.support.live import TOKEN, FakeConnector, FakeLink, FakeTokens, Household, closing, opening, settle

A = LinkAction
OLD = "gemini-3.1-flash-live-preview"
SAID = (Turn(Role.PERSON, "Hello."), Turn(Role.MODEL, "Good evening."))
WORDS = (HeardText("Hello."), SpokenText("Good evening."), ReplyAudio(b"\0\0"), TurnComplete())


def failure(action: LinkAction, reason: str = "no") -> LinkError:
    return LinkError(reason, LinkCause.REFUSED, action)


def link(house: Household) -> FakeLink:
    return house.connector.links[-1]


def now() -> float:
    return asyncio.get_running_loop().time()


# What the first attempt brings


@pytest.mark.parametrize(
    ("memory_s", "away_s", "handles", "fetched"),
    [(60.0, 59.0, [None, "h"], 1), (60.0, 61.0, [None, None], 2), (0.0, 0.0, [None, None], 2)],
)
async def test_a_conversation_is_remembered_for_a_while(memory_s, away_s, handles, fetched):
    house = Household(memory_s=memory_s)
    async with house.linked() as (manager, link):
        link.say(*WORDS, HandleUpdated("h"))
        await settle()
        manager.close(closing(1))
        await asyncio.sleep(away_s)
        manager.open(opening(2))
        await settle()
        assert house.connector.handles == handles
        assert len(house.tokens.asked) == fetched
        assert house.connector.links[1].seeds == [], "a handle or a transcript, never both"


async def test_a_link_is_tracked_while_it_is_open():
    house = Household()
    async with house.linked() as (manager, _):
        assert house.tokens.open_links == 1
        manager.close(closing(1))
        await settle()
        assert house.tokens.open_links == 0


async def test_a_conversation_that_was_to_be_forgotten_is():
    house = Household()
    async with house.linked() as (manager, link):
        link.say(*WORDS, HandleUpdated("h"))
        await settle()
        manager.forget()
        manager.close(closing(1))
        manager.open(opening(2))
        await settle()
        assert house.connector.handles == [None, None]
        assert house.connector.links[1].seeds == []


async def test_without_a_handle_what_was_said_is_told():
    house = Household()
    async with house.linked() as (manager, link):
        link.say(*WORDS, HeardText("And nobody answers this."))
        await settle()
        manager.close(closing(1))
        manager.open(opening(2))
        await settle()
        assert house.connector.links[1].seeds == [HistorySeed(SeedMethod.CONTENT, SAID)]
        assert house.events[-1] == LinkOpened(2, Continuity.PARTIAL)


async def test_a_model_that_takes_history_at_the_beginning_only_is_asked_for_that():
    house = Household(FakeTokens(token=replace(TOKEN, model=OLD)))
    async with house.linked() as (manager, link):
        link.say(*WORDS)
        await settle()
        manager.close(closing(1))
        manager.open(opening(2))
        await settle()
        assert [request.seeded for request in house.connector.requests] == [False, True]
        assert house.connector.links[1].seeds == [HistorySeed(SeedMethod.INITIAL_HISTORY, SAID)]


async def test_a_session_of_another_set_up_is_not_gone_on_with():
    house = Household(FakeTokens(token=replace(TOKEN, expires_at=Seconds(0.0))))
    async with house.linked() as (manager, link):
        link.say(HandleUpdated("h"))
        await settle()
        house.connector.model_config = "another instruction"
        manager.open(opening(2, Session.RESUME))
        await settle()
        assert house.connector.handles == [None, None]


@pytest.mark.parametrize(
    ("life_s", "mode", "asked"),
    [
        (100.0, Mode.HANDS_FREE, [False]),
        (50.0, Mode.HANDS_FREE, [False, True]),
        (100.0, Mode.PUSH_TO_TALK, [False, True]),
    ],
)
async def test_a_token_resumes_as_long_as_it_lives_and_in_its_mode(life_s, mode, asked):
    house = Household(FakeTokens(token=replace(TOKEN, expires_at=Seconds(now() + life_s))))
    async with house.linked() as (manager, link):
        link.say(HandleUpdated("h"))
        await settle()
        manager.open(replace(opening(2, Session.RESUME), mode=mode))
        await settle()
        assert house.tokens.asked == asked
        assert house.connector.handles == [None, "h"]


async def test_a_handle_that_is_behind_still_leads_to_most_of_the_conversation():
    house = Household()
    async with house.linked() as (manager, link):
        link.say(HandleUpdated("h"), HandleUpdated(None))
        await settle()
        manager.open(opening(2, Session.RESUME))
        await settle()
        assert house.connector.handles == [None, "h"]
        assert house.events == [LinkOpened(2, Continuity.PARTIAL)]


async def test_a_fresh_session_brings_no_handle_not_even_one_that_comes_late():
    house = Household(connector=FakeConnector(close_s=1.0))
    async with house.linked() as (manager, link):
        link.say(HandleUpdated("h"), *WORDS, HeardText("What time is it?"))
        await settle()
        manager.close(closing(1))
        manager.open(opening(2, Session.NEW))
        link.say(HandleUpdated("late"))
        await asyncio.sleep(1.1)
        assert house.connector.handles == [None, None]
        assert house.connector.links[1].seeds == [HistorySeed(SeedMethod.CONTENT, SAID)], (
            "the question is asked once more"
        )
        house.connector.links[1].lose()
        await settle()
        manager.open(opening(3, Session.RESUME))
        await asyncio.sleep(1.1)
        assert house.connector.handles == [None, None, None]


# Failing


@pytest.mark.parametrize(
    ("errors", "handles", "fetched"),
    [
        ([A.RETRY_NOW], ["h"], 1),
        ([A.BACK_OFF, A.BACK_OFF], ["h", None], 2),
        ([A.NEW_TOKEN], ["h"], 1),
        ([A.NEW_TOKEN, A.NEW_TOKEN], ["h", None], 2),
        ([A.FRESH_SESSION], [None], 1),
        ([A.OFFLINE, A.OFFLINE, A.OFFLINE], ["h", "h", "h"], 0),
        ([A.CLOCK_WRONG], ["h"], 0),
        ([A.OMIT_FEATURE], [None], 1),
    ],
)
async def test_each_failure_leads_as_far_down_as_it_must(errors, handles, fetched):
    house = Household()
    async with house.linked() as (manager, link):
        link.say(HandleUpdated("h"))
        await settle()
        house.connector.errors = [failure(action) for action in errors]
        manager.open(opening(2, Session.RESUME))
        await asyncio.sleep(100)
        assert house.connector.handles[2:] == handles
        assert len(house.tokens.asked) == 1 + fetched
        assert isinstance(house.events[-1], LinkOpened)
        assert len(house.errors) == len(errors)


async def test_each_attempt_that_fails_is_told_with_its_reason_and_none_is_the_last():
    house = Household(connector=FakeConnector(error=failure(A.BACK_OFF)))
    async with house.keeping() as manager:
        manager.open(opening(1))
        await asyncio.sleep(3600)
        assert set(house.events) == {LinkDelayed(1, Trouble.SERVICE)}
        assert len(house.connector.requests) > 3600 / 60, "an hour of them"
        house.connector.error = None
        await asyncio.sleep(60)
        assert house.events[-1] == LinkOpened(1)


@pytest.mark.parametrize(
    ("error", "trouble"),
    [
        (failure(A.WAIT_QUOTA), Trouble.QUOTA),
        (failure(A.GIVE_UP_AUTH), Trouble.REFUSED),
        (failure(A.GIVE_UP_CONFIG), Trouble.SETTINGS),
    ],
)
async def test_what_no_attempt_can_mend_while_a_person_waits_is_told_at_once(error, trouble):
    house = Household(connector=FakeConnector(error=error))
    async with house.keeping() as manager:
        manager.open(opening(1))
        await settle()
        assert house.events == [LinkFailed(1, trouble)]


async def test_two_tokens_that_are_refused_are_enough():
    house = Household(connector=FakeConnector(error=failure(A.NEW_TOKEN)))
    async with house.keeping() as manager:
        manager.open(opening(1))
        await asyncio.sleep(1)
        assert house.events == [LinkDelayed(1, Trouble.REFUSED), LinkFailed(1, Trouble.REFUSED)]
        assert len(house.tokens.asked) == 2


async def test_no_token_is_a_reason_too():
    house = Household(FakeTokens(error=ProvisioningUnreachable("x")))
    async with house.keeping() as manager:
        manager.open(opening(1))
        await asyncio.sleep(2)
        house.tokens.error = TokenRefused("x")
        await asyncio.sleep(30)
        assert house.events[0] == LinkDelayed(1, Trouble.NETWORK)
        assert house.events[-1] == LinkFailed(1, Trouble.REFUSED)


@pytest.mark.parametrize("lot", [0.01, 0.5, 0.99])
async def test_waits_are_drawn_by_lot_below_a_limit_that_doubles_and_a_wake_word_does_not_wait(lot):
    house = Household(connector=FakeConnector(error=failure(A.BACK_OFF)), lot=lot)
    moments: list[float] = []
    house.on_event = lambda _: moments.append(now())
    async with house.keeping() as manager:
        began = now()
        manager.open(opening(1))
        await asyncio.sleep(40)
        waits = [later - earlier for earlier, later in pairwise(moments)]
        assert moments[0] == began
        assert waits[:4] == pytest.approx([lot * limit for limit in (0.5, 1, 2, 4)])
        manager.close(closing(1))
        manager.open(opening(2))
        woken = now()
        await settle()
        assert moments[-1] == pytest.approx(woken)


async def test_a_link_that_is_lost_at_once_and_again_is_waited_for_longer_each_time():
    house = Household()
    waits = []
    async with house.linked() as (manager, _):
        for number in range(2, 5):
            link(house).lose()
            await settle()
            lost_at = now()
            manager.open(opening(number, Session.RESUME))
            while not isinstance(house.events[-1], LinkOpened):
                await asyncio.sleep(0.01)
            waits.append(now() - lost_at)
        assert waits == pytest.approx([0.05, 0.1, 0.2], abs=0.02)
        await asyncio.sleep(31)
        link(house).lose()
        await settle()
        manager.open(opening(5, Session.RESUME))
        await asyncio.sleep(0.06)
        assert house.events[-1] == LinkOpened(5), "what has worked for long is forgiven"


@pytest.mark.parametrize(
    ("action", "resumable", "trouble"),
    [
        (A.RETRY_NOW, True, Trouble.LOST),
        (A.FRESH_SESSION, True, Trouble.LOST),
        (A.WAIT_QUOTA, False, Trouble.QUOTA),
        (A.GIVE_UP_AUTH, False, Trouble.REFUSED),
    ],
)
async def test_a_loss_says_whether_another_link_may_help(action, resumable, trouble):
    house = Household()
    async with house.linked() as (_, link):
        link.lose(LinkCause.DROPPED, action)
        await settle()
        assert house.events == [LinkLost(1, resumable, trouble)]


# Parts of the set-up


async def test_a_set_up_that_is_refused_is_reduced_until_it_is_taken_and_that_is_remembered():
    refused = failure(A.OMIT_FEATURE, "closed the connection (1007: Request contains an invalid argument.)")
    named = failure(A.OMIT_FEATURE, "closed the connection (1007: language_code is not supported)")
    left_out = {OptionalFeature.VOCABULARY, OptionalFeature.TEMPERATURE, OptionalFeature.LANGUAGE}

    house = Household(connector=FakeConnector(tiers=frozenset(OptionalFeature), errors=[refused, named, refused]))
    async with house.keeping() as manager:
        manager.open(opening(1))
        await asyncio.sleep(2)
        assert isinstance(house.events[-1], LinkOpened)
        assert house.connector.requests[-1].omitted_features == left_out
        manager.close(closing(1))
        manager.open(opening(2))
        await settle()
        assert house.connector.requests[-1].omitted_features == left_out
    assert house.limitations.saves == 1
    later = Household(limitations=house.limitations)
    async with later.linked():
        assert later.connector.requests[0].omitted_features == left_out


async def test_a_set_up_with_nothing_left_to_leave_out_is_given_up_and_taught_nothing():
    tiers = frozenset({OptionalFeature.LANGUAGE, OptionalFeature.SEARCH})
    house = Household(connector=FakeConnector(tiers=tiers, error=failure(A.OMIT_FEATURE)))
    async with house.keeping() as manager:
        manager.open(opening(1))
        await asyncio.sleep(5)
        assert house.events[-1] == LinkFailed(1, Trouble.SETTINGS)
        assert len(house.connector.requests) == 3
        house.connector.error = None
        manager.open(opening(2))
        await settle()
        assert house.connector.requests[-1].omitted_features == frozenset()
    assert house.limitations.saves == 0


# What the token fixes


@pytest.mark.parametrize(("tag", "handles"), [("", [None, "h"]), ("another", [None, None])])
async def test_a_session_is_not_resumed_across_a_change_of_what_tokens_fix(tag, handles):
    """A token that locks another voice or instruction would be refused together with the handle."""

    house = Household(FakeTokens(token=replace(TOKEN, expires_at=Seconds(0.0))))
    async with house.linked() as (manager, link):
        link.say(*WORDS, HandleUpdated("h"))
        await settle()
        house.tokens.token = replace(TOKEN, locks=Locks(tag=tag))
        manager.open(opening(2, Session.RESUME))
        await settle()
        assert house.connector.handles == handles
        assert len(house.tokens.asked) == 2
        told = [HistorySeed(SeedMethod.CONTENT, SAID)] if tag else []
        assert house.connector.links[1].seeds == told, "a handle or a transcript, never both"


async def test_a_token_that_is_dead_already_costs_one_attempt():
    """As one that was fetched in advance, before the machine slept."""

    house = Household(connector=FakeConnector(errors=[failure(A.NEW_TOKEN)]))
    async with house.keeping() as manager:
        manager.open(opening(1))
        await asyncio.sleep(10)
        assert house.tokens.asked == [False, False]
        assert house.events[-1] == LinkOpened(1, Continuity.PARTIAL)
