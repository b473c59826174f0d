"""Policies and quotas: what a device is given, and when it is given no more."""

import json
import sqlite3
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
from sqlalchemy import select, update

from appliance.provisioning.common.protocol import ProblemCode, Purpose, SessionEventType, TokenResponse
from appliance.provisioning.server import audit, devices, policy, sessions
from appliance.provisioning.server.ports import UpstreamError
from appliance.provisioning.server.schema import DEVICE as DEVICES
from appliance.provisioning.server.schema import SESSION, USAGE
from tests.support.provisioning import (
    DEVICE,
    FREE,
    KEY,
    NOW,
    TOKEN,
    FakeUpstream,
    World,
    refused,
    usage,
    world,
)


def limited(**limits: int) -> World:
    return world(limits={**FREE, **limits})


async def test_sessions_of_a_day_end_and_come_back_at_midnight():
    here = limited(sessions_day=2)
    first = TokenResponse.model_validate_json((await here.token()).content)
    assert first.quota
    assert first.quota.sessions_left_today == 1
    assert first.quota.resets_at == datetime(2026, 11, 21, tzinfo=UTC)
    assert (await here.token()).status_code == 200
    assert refused(await here.token(), ProblemCode.QUOTA_SESSIONS).retry_after == 12 * 3600
    here.later(hours=12)
    assert (await here.token()).status_code == 200
    assert [row[:2] for row in usage(here)] == [(20261120, 2), (20261121, 1)]


async def test_minutes_of_a_month_are_what_tokens_are_good_for_at_most():
    here = limited(minutes_month=33)
    answer = TokenResponse.model_validate_json((await here.token()).content)
    assert answer.quota
    assert answer.quota.minutes_left_month == 33 - 16
    assert (await here.token()).status_code == 200
    here.later(days=5)
    wait_s = refused(await here.token(), ProblemCode.QUOTA_MINUTES).retry_after
    assert here.now + timedelta(seconds=wait_s or 0) == datetime(2026, 12, 1, tzinfo=UTC)
    here.later(days=6)
    assert (await here.token()).status_code == 200


async def test_a_burst_ends_when_its_first_token_is_ten_minutes_old():
    here = limited(burst=2)
    assert (await here.token()).status_code == 200
    here.later(minutes=4)
    assert (await here.token()).status_code == 200
    assert refused(await here.token(), ProblemCode.RATE_LIMITED).retry_after == 360
    here.later(minutes=6)
    assert (await here.token()).status_code == 200


async def test_a_token_counts_as_in_use_until_its_device_reports_the_end_or_its_time_is_over():
    here = limited(concurrent=1)
    session = (await here.token()).json()["session_id"]
    assert refused(await here.token(), ProblemCode.CONCURRENCY).retry_after == 16 * 60
    ended = {"type": SessionEventType.ENDED, "reason": "idle", "seconds": 42}
    assert (await here.ask("POST", f"/v1/sessions/{session}/events", ended)).status_code == 200
    assert (await here.token()).status_code == 200
    here.later(minutes=15, seconds=59)
    refused(await here.token(), ProblemCode.CONCURRENCY)
    here.later(seconds=1)
    assert (await here.token()).status_code == 200


async def test_a_session_that_is_resumed_takes_the_place_of_the_one_before():
    here = limited(concurrent=1)
    assert (await here.token()).status_code == 200
    assert (await here.token(purpose="resume")).status_code == 200
    refused(await here.token(), ProblemCode.CONCURRENCY)
    assert usage(here)[0][1:] == (2, 60 + 960), "what went before counts with the time that it had"


async def test_without_a_token_nothing_is_counted_but_the_number():
    upstream = FakeUpstream(UpstreamError(ProblemCode.UPSTREAM_QUOTA, "because", 7))
    here = world(upstream, limits={**FREE, "sessions_day": 1, "burst": 1, "concurrent": 1})
    for _ in range(3):
        assert refused(await here.token(), ProblemCode.UPSTREAM_QUOTA).retry_after == 7
    upstream.failure = None
    assert (await here.token()).status_code == 200
    assert usage(here) == [(20261120, 1, 960)]


async def test_what_was_counted_when_the_server_died_is_taken_back_and_only_once():
    here = limited(sessions_day=2)
    assert (await here.token()).status_code == 200
    default = policy.default_policy(here.settings)
    here.work(lambda c: sessions.reserve(c, DEVICE, default, Purpose.NEW, 99, here.ms))
    assert usage(here)[0][1] == 2
    here.later(seconds=119)
    assert here.work(lambda c: sessions.sweep(c, here.ms)) == 0
    here.later(seconds=2)
    assert [here.work(lambda c: sessions.sweep(c, here.ms)) for _ in range(2)] == [1, 0]
    assert usage(here) == [(20261120, 1, 960)]


async def test_a_mint_that_outlasted_the_sweep_gives_no_token():
    here = limited()

    class Slow(FakeUpstream):
        async def mint(self, spec: object) -> str:
            here.later(minutes=3)
            here.work(lambda c: sessions.sweep(c, here.ms))
            return TOKEN

    slow = World(here.settings, here.store, Slow())
    assert TOKEN not in refused(await slow.token(), ProblemCode.UPSTREAM_UNAVAILABLE).model_dump_json()
    assert usage(here)[0][1] == 0


async def test_single_sessions_are_forgotten_after_a_month_and_their_sums_are_not():
    here = limited()
    await here.token()
    here.later(days=31)
    here.work(lambda c: sessions.sweep(c, here.ms))
    assert here.work(lambda c: c.execute(select(SESSION)).all()) == []
    assert here.work(lambda c: c.execute(select(USAGE.c.sessions)).scalar()) == 1


async def test_a_policy_counts_over_the_settings_and_from_the_next_token_on():
    here = world(lock={"voice": "Puck", "instruction": "Be brief."})
    values = {"voice": "Kore", "max_session_s": 300, "sessions_day": 2, "tools": json.dumps(["set_volume"])}
    here.work(lambda c: policy.add_version(c, "children", values, here.ms))
    before = TokenResponse.model_validate_json((await here.token()).content)
    assert (before.effective.voice, before.effective.tools) == ("Puck", None)
    here.work(lambda c: devices.give_policy(c, DEVICE, "children", here.ms, "admin"))
    after = TokenResponse.model_validate_json((await here.token()).content)
    assert (after.effective.voice, after.effective.tools) == ("Kore", ("set_volume",))
    assert after.effective.config_etag != before.effective.config_etag
    assert after.expires_at == NOW + timedelta(minutes=6)
    assert here.upstream.specs[-1].instruction == "Be brief."
    assert after.quota
    assert after.quota.sessions_left_today == 0
    here.work(lambda c: policy.add_version(c, "children", {**values, "sessions_day": 3}, here.ms))
    assert (await here.token()).status_code == 200
    refused(await here.token(), ProblemCode.QUOTA_SESSIONS)


@pytest.mark.parametrize(
    ("actions", "code"),
    [
        ([audit.AuditAction.SUSPENDED], ProblemCode.DEVICE_SUSPENDED),
        ([audit.AuditAction.REVOKED], ProblemCode.SIGNATURE_INVALID),
        ([audit.AuditAction.SUSPENDED, audit.AuditAction.RESUMED], None),
    ],
)
async def test_what_the_operator_does_counts_at_once(actions, code):
    here = world()
    assert (await here.token()).status_code == 200
    for action in actions:
        assert here.work(partial(devices.move, device_id=DEVICE, action=action, now=here.ms, actor="admin"))
    response = await here.token()
    if code is None:
        assert response.status_code == 200
    else:
        refused(response, code)
    assert len(here.upstream.specs) == (2 if code is None else 1)


async def test_a_copied_card_is_noticed_told_and_after_some_conflicts_suspended():
    here = world(limits={**FREE, "clone_conflicts_day": 3})
    assert (await here.token(sequence=100)).status_code == 200
    here.later(hours=25)
    for number in (50, 51, 52):
        here.later(seconds=1)
        refused(await here.token(sequence=number), ProblemCode.SEQUENCE_CONFLICT)
    refused(await here.token(sequence=101), ProblemCode.DEVICE_SUSPENDED)
    told = [row.action for row in here.work(lambda c: list(audit.last(c, 10)))]
    assert told == ["sequence-conflict"] * 3 + ["suspended"]


async def test_conflicts_of_different_days_do_not_add_up():
    here = world(limits={**FREE, "clone_conflicts_day": 2})
    assert (await here.token(sequence=100)).status_code == 200
    for number in (50, 51, 52):
        here.later(hours=25)
        refused(await here.token(sequence=number), ProblemCode.SEQUENCE_CONFLICT)
    assert (await here.token(sequence=101)).status_code == 200


async def test_a_device_that_left_the_settings_is_refused_and_back_in_them_it_goes_on_where_it_was():
    here = world()
    assert (await here.token()).status_code == 200
    here.work(lambda c: devices.apply_settings(c, {}, here.ms))
    refused(await here.token(), ProblemCode.SIGNATURE_INVALID)
    here.work(lambda c: devices.apply_settings(c, {DEVICE: KEY.public_key()}, here.ms))
    here.later(seconds=1)
    refused(await here.token(sequence=1), ProblemCode.SEQUENCE_CONFLICT)
    assert (await here.token(sequence=2)).status_code == 200


async def test_the_store_holds_no_secret():
    here = world()
    claim = here.claim()
    await here.token()
    here.work(lambda c: c.execute(update(DEVICES).values(name="x")))
    connection = here.store.engine.raw_connection()
    assert isinstance(connection.driver_connection, sqlite3.Connection)
    content = connection.driver_connection.serialize()
    connection.close()
    for secret in (TOKEN.removeprefix("auth_tokens/"), claim.partition(".")[2][:16], "AIza"):
        assert secret.encode() not in content
