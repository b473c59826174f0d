"""Throttles on requests that come too often, and on requests replayed in somebody's name."""

from contextlib import ExitStack
from datetime import timedelta

import httpx2
import pytest
from sqlalchemy import update

from appliance.provisioning.common import keys
from appliance.provisioning.common.protocol import ProblemCode
from appliance.provisioning.server import audit, devices, program
from appliance.provisioning.server.certificate import make_certificate
from appliance.provisioning.server.schema import DEVICE as DEVICES
from tests.clock import run_virtual
from tests.support.provisioning import DEVICE, NOW, post, refused, server_settings, signed_headers, world

FREE = {"sessions_day": 0, "minutes_month": 0, "burst": 0, "concurrent": 0}


@pytest.mark.parametrize("clock_off", [0, -86_400 * 400, 86_400 * 400])
async def test_a_request_that_somebody_took_down_suspends_nobody(clock_off):
    """It is the device's own; only who has its key can sign another one."""

    here = world(limits={**FREE, "clone_conflicts_day": 3})
    taken_down = []

    async def token() -> None:
        here.now += timedelta(seconds=clock_off)
        here.sequence += 1
        taken_down.append(signed_headers(here.sequence, at=here.now))
        here.now -= timedelta(seconds=clock_off)
        assert (await post(here.transport, taken_down[-1])).status_code == 200
        here.later(seconds=10)

    for _ in range(6):
        await token()
    for _ in range(4):
        # Of a device whose clock is ahead, one of them looks like another device's.
        for headers in taken_down[: -1 if clock_off <= 0 else 1]:
            refused(await post(here.transport, headers), ProblemCode.SEQUENCE_CONFLICT)
    await token()
    told = [row.action for row in here.work(lambda c: list(audit.last(c, 10)))]
    assert told == ([] if clock_off <= 0 else ["sequence-conflict"])


async def test_a_copy_whose_clock_is_ahead_is_noticed_by_what_the_device_signs():
    here = world(limits={**FREE, "clone_conflicts_day": 3})
    ahead = NOW + timedelta(days=9000)
    assert (await post(here.transport, signed_headers(100, at=ahead))).status_code == 200
    for number in (50, 51, 52):
        here.later(seconds=1)
        refused(await here.token(sequence=number), ProblemCode.SEQUENCE_CONFLICT)
    refused(await here.token(sequence=101), ProblemCode.DEVICE_SUSPENDED)


@pytest.mark.parametrize(
    ("suspends_after", "action"),
    [
        (0, None),
        (3, audit.AuditAction.SUSPENDED),
        pytest.param(0, audit.AuditAction.SUSPENDED, marks=pytest.mark.slow),
        pytest.param(3, None, marks=pytest.mark.slow),
    ],
)
async def test_a_device_fills_no_audit_whatever_it_is_sent_in_its_name(action, suspends_after):
    here = world(limits={**FREE, "clone_conflicts_day": suspends_after})
    if action:
        here.work(lambda c: devices.move(c, DEVICE, action, here.ms, "admin"))
    else:
        here.work(lambda c: c.execute(update(DEVICES).values(status="pending")))
    await here.token(sequence=1000)
    before = here.work(lambda c: len(list(audit.last(c, 1000))))
    for number in range(1, 200):
        here.later(milliseconds=3)
        refused(await here.token(sequence=number), ProblemCode.SEQUENCE_CONFLICT)
    assert here.work(lambda c: len(list(audit.last(c, 1000)))) - before <= 3
    # The first one of the next day is told again.
    here.later(hours=25)
    refused(await here.token(sequence=500), ProblemCode.SEQUENCE_CONFLICT)
    assert here.work(lambda c: list(audit.last(c, 1)))[0].at == here.ms


async def test_a_device_that_is_turned_away_may_not_ask_for_ever_and_others_go_on():
    here = world(limits=FREE)
    here.work(lambda c: c.execute(update(DEVICES).values(status="suspended")))
    for _ in range(30):
        refused(await here.token(), ProblemCode.DEVICE_SUSPENDED)
    assert refused(await here.token(), ProblemCode.RATE_LIMITED).retry_after
    # One kind is not in the way of another.
    for _ in range(30):
        assert (await here.ask("GET", "/v1/device")).status_code == 200
    refused(await here.ask("GET", "/v1/device"), ProblemCode.RATE_LIMITED)


async def test_what_is_sent_again_in_a_devices_name_slows_down_nothing():
    here = world(limits=FREE)
    assert (await here.ask("GET", "/v1/device", sequence=5)).status_code == 200
    for _ in range(40):
        refused(await here.ask("GET", "/v1/device", sequence=4), ProblemCode.SEQUENCE_CONFLICT)
    assert (await here.ask("GET", "/v1/device", sequence=6)).status_code == 200


@pytest.mark.parametrize(
    ("proxies", "peer", "told", "seen"),
    [
        ((), "127.0.0.1", "192.0.2.7", "127.0.0.1"),
        (("10.0.0.0/24",), "127.0.0.1", "192.0.2.7", "127.0.0.1"),
        (("10.0.0.0/24",), "10.0.0.9", "192.0.2.7", "192.0.2.7"),
        (("10.0.0.0/24",), "::ffff:10.0.0.9", "192.0.2.7", "192.0.2.7"),
        (("10.0.0.9", "fd00::/8"), "fd00::1", "10.6.6.6, 192.0.2.7, 10.0.0.9", "192.0.2.7"),
        (("10.0.0.9",), "10.0.0.9", None, "10.0.0.9"),
    ],
)
def test_only_a_configured_proxy_says_where_a_request_comes_from(monkeypatch, tmp_path, proxies, peer, told, seen):
    # Not on a loop: Google's client, which is made and dropped here, would leave a task on it.
    monkeypatch.setenv("FORWARDED_ALLOW_IPS", "*")
    made = make_certificate(tmp_path)
    settings = server_settings(
        proxies=proxies, state_dir=tmp_path, tls_certificate=made.certificate, tls_key=made.key, devices={}
    )
    came_from = []

    async def app(scope, receive, send):
        came_from.append(scope["client"][0])
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    monkeypatch.setattr(program, "create_app", lambda parts: app)
    with ExitStack() as stack:
        config = program._server_config(settings, program.Shared(), stack)

    async def main() -> None:
        transport = httpx2.ASGITransport(config.loaded_app, client=(peer, 1))
        async with httpx2.AsyncClient(transport=transport) as http:
            await http.get("https://x.test/", headers={} if told is None else {"x-forwarded-for": told})

    run_virtual(main)
    assert came_from == [seen]


async def test_guesses_from_one_ipv6_network_count_as_one():
    here = world()
    guess, key = "zzzzzz.0000000000000000", keys.private_key(keys.new_private_key())
    for number in range(1, 6):
        here.transport = httpx2.ASGITransport(here.app, client=(f"2001:db8::{number}", 1))
        refused(await here.enrol(guess, key), ProblemCode.CLAIM_INVALID)
    here.transport = httpx2.ASGITransport(here.app, client=("2001:db8::6", 1))
    refused(await here.enrol(guess, key), ProblemCode.RATE_LIMITED)
    here.transport = httpx2.ASGITransport(here.app, client=("2001:db8:0:1::1", 1))
    refused(await here.enrol(guess, key), ProblemCode.CLAIM_INVALID)
