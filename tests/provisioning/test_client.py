import asyncio
import json
import logging
from collections.abc import Callable, Coroutine
from datetime import datetime, timedelta
from typing import Any

import httpx2
import pytest
from pydantic import SecretStr

from appliance.core.state import Mode
from appliance.errors import ConfigurationError, ProvisioningError, ProvisioningUnreachable, TokenRefused
from appliance.live.ports import LiveToken, TokenSource
from appliance.provisioning import signing
from appliance.provisioning.client import ProvisioningClient
from appliance.provisioning.protocol import JSON, MAX_ANSWER_BYTES, PROBLEM_JSON, Purpose, TokenMode
from appliance.provisioning.sequence import BLOCK, SequenceCounter
from appliance.settings import Provisioning
from tests.clock import run_virtual
from tests.provisioning.worlds import DEVICE, KEY, NOW, PEM, SERVER, TOKEN, FakeUpstream, transport

Handler = Callable[[httpx2.Request], Coroutine[Any, Any, httpx2.Response]]


def settings(**changed: Any) -> Provisioning:
    values = {"url": SERVER, "device_id": DEVICE, "device_key": SecretStr(PEM), "timeout_s": 5.0}
    return Provisioning.model_validate({**values, **changed})


def fetch(carrier: httpx2.AsyncBaseTransport, *, resume: bool = False, mode: Mode = Mode.HANDS_FREE) -> LiveToken:
    async def main() -> LiveToken:
        async with ProvisioningClient(settings(), None, carrier) as client:
            return await client.fetch(mode, resume=resume)

    return run_virtual(main)


def answers(*responses: httpx2.Response) -> httpx2.MockTransport:
    """Return a server that gives these answers, one after the other."""
    left = list(responses)

    async def handler(request: httpx2.Request) -> httpx2.Response:
        await request.aread()
        return left.pop(0)

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


def problem(status: int, **members: Any) -> httpx2.Response:
    return httpx2.Response(status, json=members, headers={"content-type": PROBLEM_JSON})


def failure(carrier: httpx2.AsyncBaseTransport) -> ProvisioningError:
    with pytest.raises(ProvisioningError) as caught:
        fetch(carrier)
    message = str(caught.value)
    assert "\n" not in message
    assert SERVER in message
    assert TOKEN not in message
    assert PEM not in message
    return caught.value


def test_both_halves_agree_and_the_server_hears_what_the_token_is_for():
    upstream = FakeUpstream()
    token = fetch(transport(upstream, live_base_url="https://live.test:9"))
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
def test_it_says_what_opens_the_session_and_whether_one_is_resumed(mode, resume, asked):
    bodies = []

    async def handler(request: httpx2.Request) -> httpx2.Response:
        bodies.append(json.loads(await request.aread()))
        return httpx2.Response(200, json=token_body())

    fetch(httpx2.MockTransport(handler), mode=mode, resume=resume)
    assert [(body["mode"], body["purpose"]) for body in bodies] == [asked]


def test_it_is_a_token_source_and_the_token_is_in_no_repr_and_no_log(caplog):
    source: TokenSource = ProvisioningClient(settings(), None, transport())
    assert isinstance(source, ProvisioningClient)
    with caplog.at_level(logging.DEBUG):
        token = fetch(transport())
    assert TOKEN not in repr(token)
    assert TOKEN not in caplog.text
    assert PEM not in repr(source)


@pytest.mark.parametrize("server_year", [1970, 2026, 2090])
def test_times_are_counted_from_the_request_whatever_either_clock_says(server_year):
    server_time = datetime(server_year, 5, 1, tzinfo=NOW.tzinfo)

    async def handler(request: httpx2.Request) -> httpx2.Response:
        await asyncio.sleep(2.0)
        times = {
            "server_time": server_time,
            "new_session_expires_at": server_time + timedelta(seconds=60),
            "expires_at": server_time + timedelta(minutes=16),
        }
        return httpx2.Response(200, json=token_body(**{name: time.isoformat() for name, time in times.items()}))

    token = fetch(httpx2.MockTransport(handler))
    assert token.session_from == pytest.approx(1002.0)
    assert token.new_session_until == pytest.approx(1060.0)
    assert token.expires_at == pytest.approx(1960.0)


def test_a_device_that_lost_its_number_goes_on_above_the_servers():
    upstream = FakeUpstream()
    server = transport(upstream)

    async def main() -> None:
        async with ProvisioningClient(settings(), None, server) as old:
            for _ in range(5):
                await old.fetch(Mode.HANDS_FREE, resume=False)
        async with ProvisioningClient(settings(), None, server) as new:
            for _ in range(2):
                assert (await new.fetch(Mode.HANDS_FREE, resume=False)).value == TOKEN

    run_virtual(main)
    assert len(upstream.specs) == 7


def test_with_a_state_directory_a_restart_costs_no_second_request(tmp_path):
    numbers = []
    server = transport()

    async def handler(request: httpx2.Request) -> httpx2.Response:
        numbers.append(request.headers["signature-input"].partition('nonce="')[2].partition('"')[0])
        return await server.handle_async_request(request)

    async def main() -> None:
        for _ in range(2):
            async with ProvisioningClient(settings(), tmp_path, httpx2.MockTransport(handler)) as client:
                await client.fetch(Mode.HANDS_FREE, resume=False)

    run_virtual(main)
    assert numbers == ["1", str(1 + BLOCK)]
    assert SequenceCounter(tmp_path).take() == 1 + 2 * BLOCK


def test_it_jumps_once_only():
    conflict = problem(409, code="sequence-conflict", last_sequence=40)
    again = problem(409, code="sequence-conflict", last_sequence=90)
    assert isinstance(failure(answers(conflict, again)), TokenRefused)


def test_requests_go_out_one_after_the_other():
    under_way = most = 0
    server = transport()

    async def handler(request: httpx2.Request) -> httpx2.Response:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0.5)
        under_way -= 1
        return await server.handle_async_request(request)

    async def main() -> None:
        async with (
            ProvisioningClient(settings(), None, httpx2.MockTransport(handler)) as client,
            asyncio.TaskGroup() as group,
        ):
            for _ in range(4):
                group.create_task(client.fetch(Mode.HANDS_FREE, resume=False))

    run_virtual(main)
    assert most == 1


@pytest.mark.parametrize(
    ("status", "expected"),
    [(401, TokenRefused), (403, TokenRefused), (404, TokenRefused), (426, TokenRefused)]
    + [(status, ProvisioningUnreachable) for status in (302, 429, 500, 502, 503)],
)
@pytest.mark.parametrize("told", ["problem", "page"])
def test_every_status_becomes_one_of_the_two_errors(status, expected, told):
    page = httpx2.Response(status, text="<html>Bad</html>", headers={"content-type": "text/html"})
    assert type(failure(answers(problem(status, code="any-code") if told == "problem" else page))) is expected


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
def test_an_answer_that_is_none_counts_as_no_answer(body):
    error = failure(answers(httpx2.Response(200, content=body, headers={"content-type": JSON})))
    assert isinstance(error, ProvisioningUnreachable)


def test_a_damaged_problem_is_judged_by_its_status():
    damaged = httpx2.Response(409, content=b'{"code": 7}', headers={"content-type": PROBLEM_JSON})
    assert isinstance(failure(answers(damaged)), TokenRefused)


def test_a_server_that_hangs_is_left_after_the_time_that_is_set():
    async def handler(request: httpx2.Request) -> httpx2.Response:
        await asyncio.sleep(3600)
        raise AssertionError

    async def main() -> None:
        loop = asyncio.get_running_loop()
        started = loop.time()
        async with ProvisioningClient(settings(timeout_s=5.0), None, httpx2.MockTransport(handler)) as client:
            with pytest.raises(ProvisioningUnreachable, match="within 5 s"):
                await client.fetch(Mode.HANDS_FREE, resume=False)
        assert loop.time() - started == pytest.approx(5.0)

    run_virtual(main)


@pytest.mark.parametrize("error", [httpx2.ConnectError("x"), httpx2.ReadError("x"), httpx2.RemoteProtocolError("x")])
def test_a_broken_connection_is_unreachable(error):
    async def handler(request: httpx2.Request) -> httpx2.Response:
        raise error

    assert isinstance(failure(httpx2.MockTransport(handler)), ProvisioningUnreachable)


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
    ],
)
def test_a_wrong_setting_is_named_at_once_and_not_quoted(changed, named):
    with pytest.raises(ConfigurationError, match=named) as caught:
        ProvisioningClient(settings(**changed), None)
    assert "secret but no key" not in str(caught.value)


def test_the_key_may_be_in_a_file(tmp_path):
    file = tmp_path / "device.pem"
    file.write_text(PEM)

    async def main() -> LiveToken:
        of_file = settings(device_key=None, device_key_file=file)
        async with ProvisioningClient(of_file, None, transport()) as client:
            return await client.fetch(Mode.HANDS_FREE, resume=False)

    assert run_virtual(main).value == TOKEN
    assert signing.public_key_text(signing.private_key(file.read_text())) == signing.public_key_text(KEY)
