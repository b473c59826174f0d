"""Tokens in advance: how many, for whom, and how the server is given way to."""

import asyncio

import pytest

from appliance.config.schema import Prefetch
from appliance.core.state import Mode
from appliance.errors import LinkCause, LinkError, ProvisioningUnreachable
from appliance.provisioning.common.protocol import UNUSED
from appliance.provisioning.device.sessions import LINGER_S, UNOPENED_S
from appliance.provisioning.device.token_manager import (
    BACKGROUND_S,
    BOOT_SPREAD_S,
    IDLE_REFILLS,
    RESERVED_SESSIONS,
)
from appliance.provisioning.server import audit, devices
from appliance.provisioning.server.settings import DeviceLimits
from tests.provisioning.homes import BOOTED_S, BROKEN, DRAINING, home, now, until
from tests.support.provisioning import DEVICE, TOKEN

# Tokens in advance


@pytest.mark.parametrize(
    ("prefetch", "at_first", "after_each"),
    [(Prefetch.NEVER, 0, 0), (Prefetch.AFTER_SESSION, 1, 1), (Prefetch.ALWAYS, 1 + IDLE_REFILLS, 1 + IDLE_REFILLS)],
)
async def test_so_many_tokens_are_fetched_before_anybody_asks(prefetch, at_first, after_each):
    async with home(prefetch) as here:
        await until(4000)
        assert len(here.line.times("prefetch")) == at_first
        for number in range(2):
            await here.talk(await here.fetch())
            await until(4000 * (number + 2))
        assert len(here.line.times("prefetch")) == at_first + 2 * after_each
        unused = [outcome for purpose, outcome in here.outcomes() if purpose == "prefetch"]
        assert set(unused) <= {f"ended {UNUSED}"}, "the server does not count what nobody uses as in use"


@pytest.mark.parametrize("lot", [0.0, 0.25, 0.99])
async def test_devices_begin_to_ask_spread_over_a_minute(lot):
    async with home(lot=lot) as here:
        await until(lot * BOOT_SPREAD_S + 1)
        first = lot * BOOT_SPREAD_S
        assert here.line.kinds == ["standing", "prefetch"]
        assert [at for at, _ in here.line.asked] == pytest.approx([first, first])


async def test_the_first_conversation_finds_a_token_ready_and_the_next_one_too():
    async with home() as here:
        await until(BOOTED_S)
        for number in range(3):
            before = len(here.line.asked)
            token = await here.fetch(resume=bool(number))
            assert len(here.line.asked) == before
            await here.talk(token)
            await asyncio.sleep(LINGER_S + 1)
        assert here.line.times("new") == here.line.times("resume") == []
        assert len(here.rows()) == 4, "none is handed out twice"


async def test_a_token_serves_the_mode_that_it_was_fetched_for():
    async with home() as here:
        await until(BOOTED_S)
        await here.talk(await here.fetch(Mode.PUSH_TO_TALK))
        assert here.line.kinds[-2:] == ["new", "started"]
        await asyncio.sleep(LINGER_S + 1)
        assert here.line.bodies[here.line.kinds.index("prefetch")]["mode"] == "wake"
        assert here.line.bodies[-2]["mode"] == "ptt", "from now on that one is kept ready"
        assert here.outcomes()[0] == ("prefetch", f"ended {UNUSED}")
        before = len(here.line.asked)
        await here.fetch(Mode.PUSH_TO_TALK)
        assert len(here.line.asked) == before


async def test_a_token_whose_time_is_nearly_over_is_not_handed_out():
    async with home() as here:
        await until(BOOTED_S + 600 - 4)
        assert (await here.fetch()).new_session_until - asyncio.get_running_loop().time() == pytest.approx(60)
        assert here.line.kinds[-1] == "new"
        await asyncio.sleep(1)
        assert here.outcomes()[0] == ("prefetch", f"ended {UNUSED}")


async def test_for_an_hour_there_is_always_one_also_while_the_next_one_cannot_be_had():
    async with home(Prefetch.ALWAYS) as here:
        await until(BOOTED_S)
        while now() < 3000:
            assert here.tokens._serves(Mode.HANDS_FREE)
            if now() > 480:
                here.line.refuses = {"prefetch": BROKEN} if now() % 480 < 30 else {}
            await asyncio.sleep(1)


async def test_with_little_left_today_none_is_spent_on_what_nobody_may_need():
    async with home(Prefetch.ALWAYS, limits=DeviceLimits(sessions_day=RESERVED_SESSIONS + 1)) as here:
        await until(BOOTED_S)
        await here.talk(await here.fetch())
        await until(2000)
        assert here.client.quota is not None
        assert here.client.quota.sessions_left_today == RESERVED_SESSIONS
        assert len(here.line.times("prefetch")) == 1
        assert (await here.fetch()).value == TOKEN


async def test_none_is_fetched_in_advance_while_somebody_asks_or_speaks():
    async with home(Prefetch.ALWAYS) as here:
        here.line.takes_s = 1.0
        await until(BOOTED_S - 1.5)
        token = await here.fetch()
        await asyncio.sleep(5)
        await here.talk(token, 300)
        assert "prefetch" not in here.line.kinds
        await asyncio.sleep(LINGER_S + 3)
        assert here.line.kinds[-2:] == ["ended", "prefetch"]


async def test_who_asks_while_one_is_fetched_in_advance_gets_that_one():
    async with home() as here:
        here.line.takes_s = 1.0
        await until(BOOTED_S + 1.5)
        assert here.line.kinds == ["standing", "prefetch"]
        await here.fetch()
        assert now() == pytest.approx(BOOTED_S + 1.9)
        assert here.line.kinds == ["standing", "prefetch"]


async def test_who_asks_is_not_joined_by_the_background():
    async with home() as here:
        here.line.takes_s = 1.0
        here.line.refuses = {"prefetch": (503, {"code": "upstream-quota", "retry_after": 40})}
        await until(60)
        here.line.refuses.clear()
        (first,) = here.line.times("prefetch")
        await until(first + 60.5)
        await here.talk(await here.fetch())
        assert len(here.line.times("prefetch")) == 1


async def test_a_token_for_the_other_mode_is_better_than_none():
    """With room for one session at a time, that token is what takes the room."""

    async with home(limits=DeviceLimits(concurrent=1)) as here:
        await until(BOOTED_S)
        await here.talk(await here.fetch(Mode.PUSH_TO_TALK))
        assert here.line.kinds == ["standing", "prefetch", "new", "started"]
        with pytest.raises(ProvisioningUnreachable):
            await here.fetch(Mode.PUSH_TO_TALK)


async def test_a_token_for_the_other_mode_is_kept_where_more_than_a_quota_is_wrong():
    async with home() as here:
        await until(BOOTED_S)
        here.line.refuses = {"new": BROKEN}
        with pytest.raises(ProvisioningUnreachable):
            await here.fetch(Mode.PUSH_TO_TALK)
        assert here.tokens._serves(Mode.HANDS_FREE)


# Giving way


async def test_what_the_server_asks_for_is_kept_and_somewhat_more():
    async with home() as here:
        here.line.refuses = {"prefetch": (503, {"code": "upstream-quota", "retry_after": 100})}
        await until(50)
        here.line.refuses["new"] = BROKEN
        with pytest.raises(ProvisioningUnreachable):
            await here.fetch()
        await until(1000)
        first, second, *_ = here.line.times("prefetch")
        assert second - first == pytest.approx(100 + BOOT_SPREAD_S / 2, abs=1)


async def test_tokens_that_come_too_late_for_the_background_take_no_room_from_who_asks():
    """The server counts each of them, and nobody gives it back."""

    async with home() as here:
        here.line.mints_s = BACKGROUND_S + 1
        for number in range(10):
            await until(180 * (number + 1))
            await here.talk(await here.fetch())
        lost = len(here.line.times("prefetch"))
        assert 2 <= lost <= 4
        here.line.mints_s = 0.0
        await until(180 * 11 + 600)
        assert len(here.line.times("prefetch")) == lost + 1


async def test_a_quota_that_is_used_up_holds_no_report_back():
    async with home() as here:
        here.line.refuses = {"prefetch": (429, {"code": "quota-sessions", "retry_after": 36_000})}
        token = await here.fetch()
        await here.talk(token)
        await until(60)
        assert here.line.kinds[-1] == "prefetch"
        await here.talk(token)
        await asyncio.sleep(LINGER_S + 3)
        assert here.line.kinds[-1] == "ended"


async def test_a_server_that_is_about_to_end_hears_no_report_before_the_time_it_names():
    async with home(Prefetch.NEVER) as here:
        await until(60)
        token = await here.fetch()
        here.line.refuses = {"started": DRAINING}
        with here.tokens.track_link(token):
            await asyncio.sleep(100)
            first, second = here.line.times("started")
            assert second - first == pytest.approx(60, abs=1)


async def test_a_device_that_was_blocked_asks_now_and_then_only_and_is_back_when_it_may():
    async with home() as here:
        here.here.work(lambda c: devices.move(c, DEVICE, audit.AuditAction.SUSPENDED, here.here.ms, "admin"))
        await until(3600)
        assert 3 < len(here.line.asked) < 15
        here.here.work(lambda c: devices.move(c, DEVICE, audit.AuditAction.RESUMED, here.here.ms, "admin"))
        await until(3600 + 900)
        assert [purpose for purpose, _ in here.outcomes()] == ["prefetch"]


async def test_a_server_that_is_away_for_an_hour_is_asked_less_and_less_and_found_again():
    async with home(Prefetch.NEVER) as here:
        await until(60)
        token = await here.fetch()
        await here.talk(token)
        here.line.hangs = {"ended", "standing"}
        await until(3600)
        assert len(here.line.asked) < 40
        here.line.hangs.clear()
        await until(3600 + 900)
        assert here.outcomes() == [("new", "ended")]


# Links


async def test_a_session_over_two_links_is_one_with_a_reconnect():
    async with home(Prefetch.NEVER) as here:
        await asyncio.sleep(60)
        token = await here.fetch()
        await here.talk(token, 10)
        await here.talk(token, 10)
        await asyncio.sleep(LINGER_S + 1)
        assert here.line.bodies[-1] == {"type": "ended", "reason": "", "seconds": 20, "reconnects": 1}
        assert here.outcomes() == [("new", "ended")]


@pytest.mark.parametrize("error", [LinkError("lost", LinkCause.DROPPED), asyncio.CancelledError()])
async def test_however_a_link_ends_it_is_closed(error):
    async with home() as here:
        with pytest.raises(type(error)), here.tokens.track_link(await here.fetch()):
            raise error
        assert here.tokens.sessions.next_end_at is not None


async def test_a_token_without_a_link_is_given_back():
    async with home(Prefetch.NEVER) as here:
        await here.fetch()
        await asyncio.sleep(UNOPENED_S + 1)
        assert here.outcomes() == [("new", f"ended {UNUSED}")]
        assert "started" not in here.line.kinds
