"""A conversation counts with what its device reports, at once; and no device gains much by a lie."""

from argparse import Namespace
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial

import pytest
from sqlalchemy import Connection, select

from appliance.provisioning.common.protocol import (
    UNUSED,
    DeviceView,
    ProblemCode,
    Purpose,
    Quota,
    SessionEvent,
    SessionEventResponse,
    SessionEventType,
    TokenResponse,
)
from appliance.provisioning.server import devices, fleet_counts, policy, quota, session_accounting, sessions
from appliance.provisioning.server.admin import actions
from appliance.provisioning.server.schema import SESSION, USAGE
from appliance.provisioning.server.timestamps import milliseconds
from tests.support.provisioning import DEVICE, FREE, KEY, NOW, World, refused, server_settings, usage, world

TODAY = 20261120
NOW_MS = milliseconds(NOW)


def limited(**limits: object) -> World:
    return world(limits={**FREE, **limits})


async def begin(here: World, purpose: str = "new") -> TokenResponse:
    response = await here.token(purpose=purpose)
    assert response.status_code == 200, response.text
    return TokenResponse.model_validate_json(response.content)


async def report(here: World, session: str | None, **event: object) -> Quota:
    response = await here.ask("POST", f"/v1/sessions/{session}/events", {"type": "ended", **event})
    return SessionEventResponse.model_validate_json(response.content).quota


async def talk(here: World, seconds: int) -> Quota:
    session = (await begin(here)).session_id
    await report(here, session, type="started")
    here.later(seconds=seconds)
    return await report(here, session, seconds=seconds)


@pytest.mark.parametrize(
    ("seconds", "counts_s"), [(0, 60), (1, 60), (60, 60), (61, 120), (155, 180), (960, 960), (9000, 960)]
)
async def test_a_conversation_counts_with_its_started_minutes_as_soon_as_its_end_is_reported(seconds, counts_s):
    here = limited(minutes_month=100)
    left = await talk(here, seconds)
    assert usage(here) == [(TODAY, 1, counts_s)]
    assert left.minutes_left_month == 100 - counts_s // 60


async def test_what_is_reported_late_or_twice_counts_once_and_never_with_less_than_before():
    here = limited()
    session = (await begin(here)).session_id
    for seconds, counts_s in ((30, 60), (200, 240), (100, 240), (200, 240)):
        await report(here, session, seconds=seconds)
        assert usage(here) == [(TODAY, 1, counts_s)]
    row = here.work(lambda c: c.execute(select(SESSION)).one())
    assert (row.reported_s, row.outcome) == (200, "ended")


async def test_twenty_conversations_a_day_are_twenty_conversations():
    here = limited(sessions_day=20, burst=12)
    for left in reversed(range(20)):
        # As after each conversation: a token in advance, of which nobody makes use for ten minutes.
        spare = (await begin(here, "prefetch")).session_id
        here.later(minutes=10)
        await report(here, spare, reason=UNUSED)
        assert (await talk(here, 20)).sessions_left_today == left
    refused(await here.token(), ProblemCode.QUOTA_SESSIONS)
    assert usage(here) == [(TODAY, 20, 20 * 60)]


@pytest.mark.parametrize("says_goodbye", [True, False])
async def test_restarts_are_no_conversations(says_goodbye):
    here = limited(sessions_day=20, burst=12, concurrent=8)
    for _ in range(30):
        spare = (await begin(here, "prefetch")).session_id
        here.later(seconds=15)
        if says_goodbye:
            await report(here, spare, reason=UNUSED)
    left = (await begin(here)).quota
    assert left
    assert left.sessions_left_today == (19 if says_goodbye else 18)


async def test_a_token_that_was_taken_for_unused_counts_once_it_is_used():
    here = limited()
    spare = (await begin(here, "prefetch")).session_id
    assert (await begin(here, "prefetch")).session_id != spare
    assert usage(here) == [(TODAY, 1, 1500)]
    await report(here, spare, type="started")
    assert usage(here) == [(TODAY, 2, 3000)]
    await report(here, spare, reason=UNUSED)
    await report(here, spare, seconds=61)
    assert usage(here) == [(TODAY, 2, 1500 + 120)]


LIES: tuple[Mapping[str, object], ...] = ({"seconds": 0}, {"reason": UNUSED}, {"type": "error"})


@pytest.mark.parametrize("lie", LIES)
@pytest.mark.parametrize("purpose", ["new", pytest.param("resume", marks=pytest.mark.slow), "prefetch"])
async def test_a_device_that_lies_gets_no_more_tokens_than_the_day_allows(lie, purpose):
    here = limited(sessions_day=20, minutes_month=400, burst=0, unused_day=30)
    sessions = 0
    for _ in range(120):
        response = await here.token(purpose=purpose)
        if response.status_code != 200:
            break
        sessions += 1
        await report(here, response.json()["session_id"], **lie)
    assert 20 <= sessions <= 20 + 30
    assert usage(here)[0][1] <= 20
    assert usage(here)[0][2] >= 60 * usage(here)[0][1], "each costs a minute at least"


async def test_what_is_left_is_the_same_wherever_it_is_asked_for_and_is_what_the_server_does():
    here = limited(sessions_day=100, burst=2)

    async def view() -> Quota:
        quota = DeviceView.model_validate_json((await here.ask("GET", "/v1/device")).content).quota
        assert quota
        return quota

    assert (await view()).used_up is None
    assert (await begin(here)).quota == await view()
    last = (await begin(here)).quota
    assert last == await view()
    assert last
    assert (last.sessions_left_today, last.used_up) == (98, ProblemCode.RATE_LIMITED)
    wait_s = refused(await here.token(), ProblemCode.RATE_LIMITED).retry_after
    assert last.used_up_until == datetime.fromtimestamp(NOW.timestamp() + (wait_s or 0), UTC)
    here.later(seconds=wait_s or 0)
    assert (await view()).used_up is None
    assert (await here.token()).status_code == 200


@pytest.mark.parametrize(
    ("zone", "at", "day", "resets_at"),
    [
        ("UTC", datetime(2026, 11, 20, 23, 30, tzinfo=UTC), 20261120, datetime(2026, 11, 21, tzinfo=UTC)),
        ("Europe/Berlin", datetime(2026, 11, 20, 23, 30, tzinfo=UTC), 20261121, datetime(2026, 11, 21, 23, tzinfo=UTC)),
        # The clocks are set back in this night: the day has 25 hours.
        ("Europe/Berlin", datetime(2026, 10, 24, 22, 0, tzinfo=UTC), 20261025, datetime(2026, 10, 25, 23, tzinfo=UTC)),
        (
            "Asia/Kolkata",
            datetime(2026, 12, 31, 18, 30, tzinfo=UTC),
            20270101,
            datetime(2027, 1, 1, 18, 30, tzinfo=UTC),
        ),
    ],
)
async def test_the_days_of_quotas_are_those_of_the_time_zone(zone, at, day, resets_at):
    here = limited(sessions_day=1, time_zone=zone)
    here.now = at
    quota = (await begin(here)).quota
    assert quota
    assert quota.resets_at == resets_at
    assert usage(here)[0][0] == day
    wait_s = refused(await here.token(), ProblemCode.QUOTA_SESSIONS).retry_after
    here.later(seconds=wait_s or 0)
    assert here.now == resets_at
    assert (await here.token()).status_code == 200


@pytest.mark.parametrize(
    ("at", "counted"),
    [
        (datetime(2026, 3, 29, 22, 30, tzinfo=UTC), (20260329, 20260330)),  # after a day of 23 hours
        (datetime(2026, 10, 25, 22, 30, tzinfo=UTC), (20261024, 20261025)),  # in a day of 25 hours
    ],
)
def test_the_last_days_of_usage_are_those_of_the_calendar(at, counted):
    here = limited(time_zone="Europe/Berlin")

    def count(connection: Connection) -> None:
        for day in (counted[0] - 1, *counted):
            own = {"device_id": DEVICE, "day": day, "sessions": 1, "reserved_s": day % 100, "reported_s": 0}
            connection.execute(USAGE.insert().values(**own))

    here.work(count)
    operator, options = actions.Operator("admin", milliseconds(at)), Namespace(days=2, device=None, limit=9, skip=0)
    listed = partial(actions.list_usage, operator=operator, options=options, settings=here.settings)
    (row,) = here.work(listed)
    assert row["reserved_s"] == sum(day % 100 for day in counted)


def test_both_engines_count_alike(store):
    """Reserve, close and count without a server."""
    store.transact_here(lambda c: devices.apply_settings(c, {DEVICE: KEY.public_key()}, NOW_MS))
    chosen = policy.default_policy(server_settings(limits={**FREE, "minutes_month": 100, "time_zone": "Europe/Berlin"}))

    def reserve(number: int, purpose: Purpose) -> str:
        made = store.transact_here(lambda c: sessions.reserve(c, DEVICE, chosen, purpose, number, NOW_MS))
        assert isinstance(made, sessions.Reservation)
        minted = [sessions.MintedSession(made.session_id, bytes(32))]
        assert store.transact_here(lambda c: sessions.mark_minted(c, minted)) == [made.session_id]
        return made.session_id

    talked, spare = reserve(1, Purpose.NEW), reserve(2, Purpose.PREFETCH)
    for session, event in (
        (talked, SessionEvent(type=SessionEventType.ENDED, seconds=70)),
        (spare, SessionEvent(type=SessionEventType.ENDED, reason=UNUSED)),
    ):
        assert (
            store.transact_here(
                partial(
                    session_accounting.report, device=DEVICE, session_id=session, event=event, policy=chosen, now=NOW_MS
                )
            )
            is None
        )
    reserve(3, Purpose.PREFETCH)
    reserve(4, Purpose.PREFETCH)
    so_far = store.transact_here(lambda c: quota.quota_use(c, DEVICE, chosen.time_zone, NOW_MS))
    assert (so_far.sessions_today, so_far.seconds_month, so_far.leases) == (2, 120 + 1500, 1)
    census_now = store.transact_here(lambda c: fleet_counts.count_fleet(c, NOW_MS))
    assert (census_now.devices, census_now.in_use) == ({"active": 1}, 1)
