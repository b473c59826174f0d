import asyncio
import json
import logging
from collections.abc import Callable, Coroutine
from datetime import datetime, timedelta
from typing import Any

import httpx2
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pydantic import SecretStr

from appliance.config.schema import ProvisioningSettings
from appliance.core.state import Mode
from appliance.errors import (
    ConfigurationError,
    InputError,
    LinkAction,
    ProvisioningError,
    ProvisioningUnreachable,
    ServerUntrusted,
    TokenRefused,
)
from appliance.live.ports import LiveToken, Locks
from appliance.provisioning.common import keys
from appliance.provisioning.common.protocol import MAX_ANSWER_BYTES, Purpose, Quota, TokenMode
from appliance.provisioning.common.signatures import SIGNATURE_HEADERS
from appliance.provisioning.device.client import ProvisioningClient
from appliance.provisioning.device.sequence import BLOCK, SequenceCounter
from appliance.storage.private_dir import PrivateDirectory
from tests.support.provisioning import (
    DEVICE,
    KEY,
    NOW,
    PEM,
    SERVER,
    SERVER_KEYS,
    TOKEN,
    FakeUpstream,
    answer,
    plain,
    transport,
)

Handler = Callable[[httpx2.Request], Coroutine[Any, Any, httpx2.Response]]


def settings(**changed: Any) -> ProvisioningSettings:
    values = {"url": SERVER, "device_id": DEVICE, "device_key": SecretStr(PEM), "server_keys": SERVER_KEYS}
    return ProvisioningSettings.model_validate({**values, **changed})


async def fetch(carrier: httpx2.AsyncBaseTransport, *, resume: bool = False, mode: Mode = Mode.HANDS_FREE) -> LiveToken:
    async with ProvisioningClient(settings(), None, carrier) as client:
        return await client.fetch_token(mode, Purpose.RESUME if resume else Purpose.NEW)


def server(*bodies: tuple[int, object]) -> httpx2.MockTransport:
    """Return a server that gives these answers, signed, one after the other."""
    left = list(bodies)

    async def handler(request: httpx2.Request) -> httpx2.Response:
        await request.aread()
        status, body = left.pop(0)
        return answer(request, body, status)

    return httpx2.MockTransport(handler)


def token_body(**changed: Any) -> dict[str, Any]:
    body = {
        "token": TOKEN,
        "model": "gemini-3.8-live",
        "api_version": "v1alpha",
        "new_session_expires_at": (NOW + timedelta(seconds=60)).isoformat(),
        "expires_at": (NOW + timedelta(minutes=16)).isoformat(),
        "server_time": NOW.isoformat(),
    }
    return {**body, **changed}


async def failure(carrier: httpx2.AsyncBaseTransport) -> ProvisioningError:
    with pytest.raises(ProvisioningError) as caught:
        await fetch(carrier)
    message = str(caught.value)
    assert "\n" not in message
    assert SERVER in message
    assert TOKEN not in message
    assert PEM not in message
    return caught.value


async def test_both_halves_agree_and_the_server_hears_what_the_token_is_for():
    upstream = FakeUpstream()
    token = await fetch(transport(upstream, live_base_url="https://live.test:9"))
    assert token.value == TOKEN
    assert (token.model, token.api_version, token.base_url) == ("gemini-3.8-live", "v1alpha", "https://live.test:9")
    assert len(upstream.specs) == 1


@pytest.mark.parametrize(
    ("mode", "resume", "asked"),
    [
        (Mode.HANDS_FREE, False, (TokenMode.WAKE, Purpose.NEW)),
        (Mode.PUSH_TO_TALK, False, (TokenMode.PTT, Purpose.NEW)),
        (Mode.HANDS_FREE, True, (TokenMode.WAKE, Purpose.RESUME)),
    ],
)
async def test_it_says_what_opens_the_session_and_whether_one_is_resumed(mode, resume, asked):
    bodies = []

    async def handler(request: httpx2.Request) -> httpx2.Response:
        bodies.append(json.loads(await request.aread()))
        return answer(request, token_body())

    await fetch(httpx2.MockTransport(handler), mode=mode, resume=resume)
    assert [(body["mode"], body["purpose"]) for body in bodies] == [asked]


async def test_the_token_is_in_no_repr_and_no_log(caplog):
    with caplog.at_level(logging.DEBUG):
        token = await fetch(transport())
    assert TOKEN not in repr(token)
    assert TOKEN not in caplog.text
    assert PEM not in repr(ProvisioningClient(settings(), None, transport()))


@pytest.mark.parametrize("server_year", [1970, 2026, 2090])
async def test_times_are_counted_from_the_request_whatever_either_clock_says(server_year):
    server_time = datetime(server_year, 5, 1, tzinfo=NOW.tzinfo)

    async def handler(request: httpx2.Request) -> httpx2.Response:
        await asyncio.sleep(2.0)
        times = {
            "server_time": server_time,
            "new_session_expires_at": server_time + timedelta(seconds=60),
            "expires_at": server_time + timedelta(minutes=16),
        }
        return answer(request, token_body(**{name: time.isoformat() for name, time in times.items()}))

    token = await fetch(httpx2.MockTransport(handler))
    assert token.session_from == pytest.approx(1002.0)
    assert token.new_session_until == pytest.approx(1060.0)
    assert token.expires_at == pytest.approx(1960.0)


async def test_a_device_that_lost_its_number_goes_on_above_the_servers():
    upstream = FakeUpstream()
    here = transport(upstream)

    async with ProvisioningClient(settings(), None, here) as old:
        for _ in range(5):
            await old.fetch_token(Mode.HANDS_FREE, Purpose.NEW)
    async with ProvisioningClient(settings(), None, here) as new:
        for _ in range(2):
            assert (await new.fetch_token(Mode.HANDS_FREE, Purpose.NEW)).value == TOKEN
    assert len(upstream.specs) == 7


async def test_with_a_state_directory_a_restart_costs_no_second_request(tmp_path):
    numbers = []
    here = transport()

    async def handler(request: httpx2.Request) -> httpx2.Response:
        numbers.append(request.headers["signature-input"].partition('nonce="')[2].partition('"')[0])
        return await here.handle_async_request(request)

    for _ in range(2):
        async with ProvisioningClient(settings(), tmp_path, httpx2.MockTransport(handler)) as client:
            await client.fetch_token(Mode.HANDS_FREE, Purpose.NEW)
    assert numbers == ["1", str(1 + BLOCK)]
    assert SequenceCounter(PrivateDirectory(tmp_path)).next() == 1 + 2 * BLOCK


async def test_it_jumps_once_only():
    conflict = (409, {"code": "sequence-conflict", "last_sequence": 40})
    again = (409, {"code": "sequence-conflict", "last_sequence": 90})
    assert isinstance(await failure(server(conflict, again)), TokenRefused)


async def test_a_token_whose_answer_was_lost_is_asked_for_with_the_next_number():
    assert (
        await fetch(server((409, {"code": "already-minted", "last_sequence": 1}), (200, token_body())))
    ).value == TOKEN


async def test_requests_go_out_one_after_the_other():
    under_way = most = 0
    here = transport()

    async def handler(request: httpx2.Request) -> httpx2.Response:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0.5)
        under_way -= 1
        return await here.handle_async_request(request)

    async with (
        ProvisioningClient(settings(), None, httpx2.MockTransport(handler)) as client,
        asyncio.TaskGroup() as group,
    ):
        for _ in range(4):
            group.create_task(client.fetch_token(Mode.HANDS_FREE, Purpose.NEW))
    assert most == 1


@pytest.mark.parametrize(
    ("status", "expected"),
    [(401, TokenRefused), (403, TokenRefused), (404, TokenRefused), (426, TokenRefused)]
    + [(status, ProvisioningUnreachable) for status in (302, 429, 500, 502, 503)],
)
async def test_every_status_becomes_one_of_the_two_errors(status, expected):
    assert type(await failure(server((status, {"code": "any-code"})))) is expected
    assert type(await failure(server((status, b"<html>Bad</html>")))) is expected


@pytest.mark.parametrize("status", [200, 401, 403, 404, 503])
async def test_what_is_not_signed_is_no_answer(status):
    async def handler(request: httpx2.Request) -> httpx2.Response:
        body = token_body() if status == 200 else {"code": "device-suspended"}
        return plain(json.dumps(body).encode(), status)

    assert type(await failure(httpx2.MockTransport(handler))) is ProvisioningUnreachable


@pytest.mark.parametrize("status", [200, 401])
async def test_what_somebody_else_has_signed_is_no_answer(status):
    stranger = keys.private_key(keys.new_private_key())

    async def handler(request: httpx2.Request) -> httpx2.Response:
        return answer(request, token_body() if status == 200 else {"code": "signature-invalid"}, status, stranger)

    error = await failure(httpx2.MockTransport(handler))
    assert type(error) is ServerUntrusted
    assert isinstance(error, ProvisioningUnreachable)


async def test_an_answer_that_was_recorded_is_no_answer():
    recorded: list[httpx2.Headers] = []

    async def handler(request: httpx2.Request) -> httpx2.Response:
        recorded.append(answer(request, token_body()).headers)
        return plain(json.dumps(token_body()).encode(), 200, recorded[0])

    async with ProvisioningClient(settings(), None, httpx2.MockTransport(handler)) as client:
        assert (await client.fetch_token(Mode.HANDS_FREE, Purpose.NEW)).value == TOKEN
        with pytest.raises(ProvisioningUnreachable):
            await client.fetch_token(Mode.HANDS_FREE, Purpose.NEW)


PARTS = ("status", "body", *SIGNATURE_HEADERS)


@hypothesis_settings(deadline=None, max_examples=60)
@given(part=st.sampled_from(PARTS), data=st.data())
async def test_no_byte_of_an_answer_can_be_changed(part, data):
    async def handler(request: httpx2.Request) -> httpx2.Response:
        genuine = answer(request, token_body()).headers
        parts = {"status": "200", "body": json.dumps(token_body())} | {n: genuine[n] for n in SIGNATURE_HEADERS}
        at = data.draw(st.integers(0, len(parts[part]) - 1))
        digits = st.sampled_from("0123456789") if part == "status" and at else st.sampled_from("245")
        others = digits if part == "status" else st.characters(min_codepoint=0x21, max_codepoint=0x7E)
        other = data.draw(others.filter(lambda c: c != parts[part][at]))
        parts[part] = parts[part][:at] + other + parts[part][at + 1 :]
        headers = {name: parts[name] for name in SIGNATURE_HEADERS}
        return plain(parts["body"].encode(), int(parts["status"]), headers)

    assert isinstance(await failure(httpx2.MockTransport(handler)), ProvisioningUnreachable)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"<html>",
        json.dumps(token_body(token="")).encode(),
        json.dumps(token_body(base_url="http://live.test")).encode(),
        json.dumps(token_body(server_time="2026-11-20T12:00:00")).encode(),
        json.dumps(token_body(server_time=(NOW + timedelta(hours=1)).isoformat())).encode(),
        json.dumps(token_body(expires_at=NOW.isoformat())).encode(),
        json.dumps(token_body()).encode() + b" " * MAX_ANSWER_BYTES,
    ],
)
async def test_an_answer_that_is_none_counts_as_no_answer(body):
    error = await failure(server((200, body)))
    assert isinstance(error, ProvisioningUnreachable)


async def test_a_damaged_problem_is_judged_by_its_status():
    assert isinstance(await failure(server((409, b'{"code": 7}'))), TokenRefused)


async def test_how_long_the_server_asks_to_be_left_alone_goes_with_the_error():
    error = await failure(server((503, {"code": "upstream-quota", "retry_after": 42})))
    assert (error.action, error.retry_after_s) == (LinkAction.WAIT_QUOTA, 42.0)


async def test_what_the_token_locks_and_what_is_left_comes_with_it():
    effective = {"voice": "Kore", "language": None, "tools": ["get_time"], "config_etag": "e1"}
    body = token_body(session_id="ses_1", effective=effective, quota={"sessions_left_today": 3})

    async with ProvisioningClient(settings(), None, server((200, body))) as client:
        token = await client.fetch_token(Mode.HANDS_FREE, Purpose.NEW)
        assert token.locks == Locks("Kore", None, frozenset({"get_time"}), "e1")
        assert token.session_id == "ses_1"
        assert client.quota == Quota(sessions_left_today=3)


async def test_two_programs_cannot_sign_for_one_device(tmp_path):
    async with ProvisioningClient(settings(), tmp_path, transport()):
        with pytest.raises(InputError, match="systemctl stop appliance"):
            async with ProvisioningClient(settings(), tmp_path, transport()):
                raise AssertionError
    async with ProvisioningClient(settings(), tmp_path, transport()):
        pass


async def test_a_server_that_hangs_is_left_after_the_time_that_is_set():
    async def handler(request: httpx2.Request) -> httpx2.Response:
        await asyncio.sleep(3600)
        raise AssertionError

    loop = asyncio.get_running_loop()
    started = loop.time()
    async with ProvisioningClient(settings(timeout_s=5.0), None, httpx2.MockTransport(handler)) as client:
        with pytest.raises(ProvisioningUnreachable, match="within 5 s"):
            await client.fetch_token(Mode.HANDS_FREE, Purpose.NEW)
    assert loop.time() - started == pytest.approx(5.0)


@pytest.mark.parametrize("error", [httpx2.ConnectError("x"), httpx2.ReadError("x"), httpx2.RemoteProtocolError("x")])
async def test_a_broken_connection_is_unreachable(error):
    async def handler(request: httpx2.Request) -> httpx2.Response:
        raise error

    assert isinstance(await failure(httpx2.MockTransport(handler)), ProvisioningUnreachable)


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"url": "http://provisioning.test"}, "provisioning.url"),
        ({"url": "https://user@provisioning.test"}, "provisioning.url"),
        ({"device_id": "the kitchen"}, "provisioning.device_id"),
        ({"device_key": None}, "provisioning.device_key"),
        ({"device_key": SecretStr("secret but no key")}, "provisioning.device_key"),
        ({"device_key": None, "device_key_file": "/nowhere/key.pem"}, "provisioning.device_key_file"),
        ({"ca_file": "/nowhere/ca.pem"}, "provisioning.ca_file"),
        ({"server_keys": ()}, "provisioning.server_keys"),
        ({"server_keys": ("no key",)}, "provisioning.server_keys"),
    ],
)
def test_a_wrong_setting_is_named_at_once_and_not_quoted(changed, named, tmp_path):
    with pytest.raises(ConfigurationError, match=named) as caught:
        ProvisioningClient(settings(**changed), tmp_path)
    assert "secret but no key" not in str(caught.value)


async def test_the_key_may_be_in_a_file(tmp_path):
    file = tmp_path / "device.pem"
    file.write_text(PEM)

    of_file = settings(device_key=None, device_key_file=file)
    async with ProvisioningClient(of_file, None, transport()) as client:
        result = await client.fetch_token(Mode.HANDS_FREE, Purpose.NEW)
    assert result.value == TOKEN
    assert keys.public_key_text(keys.private_key(file.read_text())) == keys.public_key_text(KEY)
