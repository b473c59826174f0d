"""Reports and questions in the background: what the server hears, and what is never held up by it."""

import asyncio
import json
import logging
from itertools import pairwise
from typing import Any

import pytest

from appliance.config.schema import Prefetch, ProvisioningSettings
from appliance.core.state import Mode
from appliance.errors import ProvisioningError
from appliance.provisioning.common import keys
from appliance.provisioning.common.protocol import UNUSED, DeviceFacts
from appliance.provisioning.device.client import ProvisioningClient
from appliance.provisioning.device.enrolment import enrol
from appliance.provisioning.device.sessions import LINGER_S, MAX_REPORTS, UNOPENED_S
from appliance.provisioning.device.token_manager import (
    BACKGROUND_S,
    REPORT_TRIES,
    STATUS_INTERVAL_S,
    TokenManager,
)
from appliance.provisioning.server.settings import DeviceLimits
from tests.provisioning.homes import BOOTED_S, BROKEN, Line, home, now, until
from tests.support.devices import join, local_device
from tests.support.live import FakeStore
from tests.support.provisioning import TOKEN, World, world

# What is told


async def test_the_server_hears_how_long_a_session_was_and_how_often_it_was_taken_up():
    async with home(Prefetch.NEVER) as here:
        await until(60)
        token = await here.fetch()
        for seconds in (20, 30, 12):
            await here.talk(token, seconds)
            await asyncio.sleep(2)
        await asyncio.sleep(LINGER_S)
        assert token.session_id is not None
        row = here.rows()[token.session_id]
        assert (row.outcome, row.reported_s) == ("ended", 62)
        assert row.started_at is not None
        assert row.ended_at > row.started_at
        assert here.line.bodies[-1] == {"type": "ended", "reason": "", "seconds": 62, "reconnects": 2}


async def test_a_report_that_is_refused_is_not_in_the_way_of_the_next(caplog):
    with caplog.at_level(logging.INFO):
        async with home(Prefetch.NEVER) as here:
            await until(60)
            here.tokens.sessions.token_discarded("ses_of_nobody")
            token = await here.fetch()
            await here.talk(token)
            assert here.line.kinds[-3:] == ["new", "ended", "started"]
        assert here.outcomes() == [("new", "ended")]
    assert caplog.text.count("provisioning.report-refused") == 1


async def test_a_report_that_always_fails_is_given_up_and_what_waited_behind_it_is_done():
    async with home() as here:
        here.line.refuses = {"started": BROKEN}
        await here.talk(await here.fetch())
        await until(4 * 3600)
        assert len(here.line.times("started")) == REPORT_TRIES
        assert here.outcomes()[0] == ("new", "ended")
        assert "prefetch" in here.line.kinds
        assert "standing" in here.line.kinds


async def test_a_question_that_always_fails_keeps_nobody_from_a_token():
    async with home() as here:
        here.line.refuses = {"standing": BROKEN}
        await until(60)
        assert here.tokens._serves(Mode.HANDS_FREE)
        await until(3600)
        assert len(here.line.times("standing")) < 10


@pytest.mark.slow
async def test_reports_that_cannot_be_sent_are_bounded():
    async with home(Prefetch.NEVER) as here:
        here.line.hangs = {"started", "ended"}
        for _ in range(35):
            await here.talk(await here.fetch(), 50)
            await asyncio.sleep(100)
            assert len(here.tokens.sessions.pending) <= MAX_REPORTS
        assert here.tokens.sessions.dropped > 0


async def test_the_last_reports_are_sent_at_the_end_refused_or_not():
    async with home() as here:
        await until(BOOTED_S)
        await here.talk(await here.fetch())
        await asyncio.sleep(LINGER_S + 1)
        here.tokens.sessions.token_discarded("ses_of_nobody")
        await here.fetch(Mode.PUSH_TO_TALK)
    assert here.outcomes() == [("prefetch", "ended"), ("prefetch", "ended unused"), ("new", "ended unused")]


@pytest.mark.parametrize("hangs", [{"started", "ended"}, {"prefetch"}, {"standing"}])
async def test_a_server_that_hangs_holds_the_end_up_for_a_second_at_most(hangs):
    async with home(Prefetch.ALWAYS) as here:
        here.line.hangs = hangs
        await until(BOOTED_S)
        token = await here.fetch()
        await here.talk(token, 5)
        began = now()
    assert now() - began <= 1.0


# In the background


@pytest.mark.parametrize("hanging", ["standing", "prefetch", "ended"])
async def test_what_nobody_waits_for_holds_up_who_waits_for_two_seconds_at_most(hanging):
    async with home() as here:
        if hanging == "ended":
            await here.fetch()
        here.line.hangs = {hanging}
        while hanging not in here.line.kinds:
            await asyncio.sleep(0.01)
        asked = now()
        assert (await here.fetch(Mode.PUSH_TO_TALK)).value == TOKEN
        assert now() - asked <= BACKGROUND_S


@pytest.mark.parametrize("after_s", [0.5, 1.5, 2.5])
async def test_who_gives_up_waiting_leaves_nothing_locked(after_s):
    async with home() as here:
        here.line.hangs = {"new", "prefetch"}
        await until(BOOTED_S)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(after_s):
                await here.fetch()
        here.line.hangs.clear()
        asked = now()
        assert (await here.fetch()).value == TOKEN
        assert now() - asked <= BACKGROUND_S
        assert here.tokens._waiters == 0


async def test_how_the_device_stands_is_asked_four_times_a_day_and_written_down():
    async with home(Prefetch.NEVER, lot=0.5) as here:
        await until(24 * 3600)
        times = here.line.times("standing")
        assert len(times) == 5
        gaps = [after - before for before, after in pairwise(times)]
        assert all(0.75 * STATUS_INTERVAL_S <= gap <= STATUS_INTERVAL_S for gap in gaps)
        assert isinstance(here.store.value, dict)
        assert here.store.value["status"] == "active"
        assert here.store.value["limits"]["burst"] == 12
        await here.talk(await here.fetch())
    async with home(here=here.here) as again:
        await asyncio.sleep(BOOTED_S)
        assert isinstance(again.store.value, dict)
        assert again.store.value["quota"]["sessions_left_today"] < 120
        assert TOKEN not in json.dumps(again.store.value)


async def test_the_servers_next_key_is_learnt_without_anybody_asking(tmp_path):
    next_key = keys.private_key(keys.new_private_key())

    here = world(devices={})
    await enrol(local_device(here, tmp_path), join(here.claim()), DeviceFacts(), None)
    announced = World(here.settings, here.store, here.upstream, next_key=next_key)
    rotated = World(here.settings, here.store, here.upstream, key=next_key)
    line = Line(announced)
    client = ProvisioningClient(ProvisioningSettings(), tmp_path, line)
    async with TokenManager(client, Prefetch.NEVER, FakeStore(), lambda _: None, lambda: 0.5) as tokens:
        await until(60)
        line._here = rotated
        assert (await tokens.fetch(Mode.HANDS_FREE, resume=False)).value == TOKEN


async def test_a_mistake_of_ours_is_told_and_ends_no_conversation(caplog):
    with caplog.at_level(logging.DEBUG):
        async with home() as here:
            here.line.breaks = {"standing": RuntimeError("words that hold anything"), "prefetch": RuntimeError("x")}
            await until(1200)
            assert 2 <= len(here.line.asked) < 10, "nor is it made over and over"
            assert (await here.fetch()).value == TOKEN
            here.line.breaks = {"ended": RuntimeError("at the end")}
    assert "provisioning.broken error=RuntimeError" in caplog.text
    assert "words that hold anything" not in caplog.text


async def test_an_error_of_who_uses_it_comes_out_as_it_is():
    with pytest.raises(ZeroDivisionError):
        async with home():
            raise ZeroDivisionError


@pytest.mark.slow
async def test_it_may_be_stopped_at_any_moment():
    async def daemon(here: World) -> None:
        async with home(Prefetch.ALWAYS, here=here) as one:
            one.line.takes_s = 0.4
            for _ in range(2):
                await asyncio.sleep(20)
                token = await one.fetch()
                await one.talk(token, 3)
        raise AssertionError

    for step in range(30):
        task = asyncio.create_task(daemon(world()))
        await asyncio.sleep(step * 1.5)
        stopped = now()
        task.cancel()
        with pytest.raises((asyncio.CancelledError, AssertionError)):
            await task
        assert now() - stopped <= 1.0


async def test_which_tools_may_be_offered_is_told_with_each_token_that_is_handed_out():
    async with home() as here:
        await until(BOOTED_S)
        assert here.tools == []
        await here.fetch()
        await here.fetch()
        assert here.tools == [None, None]


async def test_a_token_with_which_no_link_came_about_is_given_back():
    async with home() as here:
        await until(BOOTED_S)
        await here.fetch()
        await asyncio.sleep(UNOPENED_S - 1)
        assert here.outcomes() == [("prefetch", None)]
        await asyncio.sleep(2)
        assert here.outcomes() == [("prefetch", f"ended {UNUSED}"), ("prefetch", None)]


async def test_who_is_refused_hears_it_and_the_next_one_is_served():
    async with home(Prefetch.NEVER) as here:
        here.line.refuses = {"new": (403, {"code": "device-suspended"})}
        with pytest.raises(ProvisioningError):
            await here.fetch()
        here.line.refuses.clear()
        assert (await here.fetch()).value == TOKEN


async def test_what_doctor_reads_follows_every_word_of_the_server():
    async with home(Prefetch.NEVER, limits=DeviceLimits(sessions_day=0, burst=2)) as here:
        await until(BOOTED_S)

        async def kept() -> dict[str, Any]:
            await asyncio.sleep(0.1)
            assert isinstance(here.store.value, dict)
            return here.store.value

        await here.talk(await here.fetch())
        assert (await kept())["quota"]["used_up"] is None
        await here.talk(await here.fetch())
        assert (await kept())["quota"]["used_up"] == "rate-limited", "the next one will be refused"
        with pytest.raises(ProvisioningError):
            await here.fetch()
        assert "begins too many conversations" in (await kept())["refused"]["why"]
        await asyncio.sleep(600)
        await here.talk(await here.fetch())
        assert "refused" not in await kept()
