"""Opening a connection: refusals, time-outs and certificates, and nothing taken from the environment."""

import asyncio
import socket
import time
from http import HTTPStatus

import pytest
from websockets.asyncio.server import ServerConnection
from websockets.http11 import Request as UpgradeRequest
from websockets.http11 import Response

from appliance.config.schema import LiveSettings
from appliance.core.state import Mode
from appliance.errors import ConfigurationError, LinkCause, LinkError
from appliance.live.gemini.connection import GeminiConnector
from appliance.live.messages import TurnComplete
from appliance.live.ports import LinkConnector, LiveToken, Request
from tests.live.gemini.links import TURN_COMPLETE, linked, read_to_the_end
from tests.support.live_service import TOKEN, live_service, say, saying, set_up

pytestmark = pytest.mark.realtime


async def why_not(connector: LinkConnector, token: LiveToken) -> LinkError:
    with pytest.raises(LinkError) as refused:
        async with connector.open(token, Request(Mode.HANDS_FREE)):
            pass
    assert TOKEN not in str(refused.value)
    assert "\n" not in str(refused.value)
    return refused.value


REFUSALS = [
    (1000, "", LinkCause.UNREACHABLE),
    (1007, "Request contains an invalid argument.", LinkCause.REFUSED),
    (1008, f"{TOKEN} is not valid", LinkCause.REFUSED),
    (1011, "The service is currently unavailable.", LinkCause.UNREACHABLE),
    (1011, "You exceeded your current quota.", LinkCause.QUOTA),
]


async def test_a_set_up_that_is_answered_by_closing_says_why(tmp_path):
    refusals = iter(REFUSALS)

    async def script(connection):
        await connection.close(*next(refusals)[:2])

    async with live_service(tmp_path, script) as service:
        result = [await why_not(service.connector(), service.token()) for _ in REFUSALS]
    for (code, reason, cause), error in zip(REFUSALS, result, strict=True):
        assert error.cause is cause, reason
        assert str(code) in str(error)


STATUSES = [
    (HTTPStatus.BAD_REQUEST, LinkCause.REFUSED),
    (HTTPStatus.UNAUTHORIZED, LinkCause.REFUSED),
    (HTTPStatus.FORBIDDEN, LinkCause.REFUSED),
    (HTTPStatus.NOT_FOUND, LinkCause.REFUSED),
    (HTTPStatus.TOO_MANY_REQUESTS, LinkCause.QUOTA),
    (HTTPStatus.INTERNAL_SERVER_ERROR, LinkCause.UNREACHABLE),
    (HTTPStatus.SERVICE_UNAVAILABLE, LinkCause.UNREACHABLE),
]


async def test_an_upgrade_that_is_refused_says_why(tmp_path):
    statuses = iter(STATUSES)

    def door(connection: ServerConnection, _: UpgradeRequest) -> Response:
        return connection.respond(next(statuses)[0], "no")

    async with live_service(tmp_path, saying(), door) as service:
        result = [await why_not(service.connector(), service.token()) for _ in STATUSES]
    for (status, cause), error in zip(STATUSES, result, strict=True):
        assert error.cause is cause, status
        assert str(status.value) in str(error)


async def test_messages_before_the_answer_to_the_set_up_are_passed_over(tmp_path):
    async def script(connection):
        await say(connection, {"sessionResumptionUpdate": {"resumable": False}})
        await connection.send(b"not JSON")
        await say(connection, {"goAway": {"timeLeft": "50s"}})
        await set_up(connection)
        await say(connection, TURN_COMPLETE)
        await connection.close()

    async with linked(tmp_path, script) as link:
        got, ended = await read_to_the_end(link)
    assert got == [TurnComplete()]
    assert ended.cause is LinkCause.ENDED


async def test_other_messages_instead_of_an_answer_to_the_set_up_are_given_up_in_time(tmp_path):
    async def script(connection):
        await say(connection, {"error": {"code": 429}})
        await connection.wait_closed()

    async with live_service(tmp_path, script) as service:
        result = await why_not(service.connector(setup_timeout_s=0.5), service.token())
    assert result.cause is LinkCause.UNREACHABLE


async def test_a_set_up_that_is_never_answered_is_given_up_in_time(tmp_path):
    async with live_service(tmp_path, ServerConnection.wait_closed) as service:
        began = time.monotonic()
        error = await why_not(service.connector(setup_timeout_s=0.5), service.token())
        took = time.monotonic() - began
    assert error.cause is LinkCause.UNREACHABLE
    assert "in time" in str(error)
    assert took < 4


async def test_a_peer_that_never_finishes_tls_is_given_up_in_time(tmp_path):
    async with live_service(tmp_path, saying()) as service:
        with socket.create_server(("127.0.0.1", 0)) as mute:
            service.base_url = f"https://127.0.0.1:{mute.getsockname()[1]}"
            result = await why_not(service.connector(setup_timeout_s=0.5), service.token())
    assert result.cause is LinkCause.UNREACHABLE


async def test_nobody_there_is_unreachable(tmp_path):
    async with live_service(tmp_path, saying()) as service:
        pass
    error = await why_not(service.connector(), service.token())
    assert error.cause is LinkCause.UNREACHABLE
    assert "Connection refused" in str(error)


async def test_a_certificate_of_another_authority_is_not_trusted(tmp_path):
    (tmp_path / "other").mkdir()

    async with live_service(tmp_path / "other", saying()) as other, live_service(tmp_path, saying()) as service:
        other.base_url = service.base_url
        error = await why_not(other.connector(), other.token())
    assert error.cause is LinkCause.UNREACHABLE
    assert "not trusted" in str(error)


def test_certificates_that_cannot_be_read_are_a_mistake_in_the_settings(tmp_path):
    with pytest.raises(ConfigurationError, match=r"live\.ca_file"):
        GeminiConnector(LiveSettings(ca_file=tmp_path / "missing.pem"), ())


async def test_cancelling_while_opening_leaves_nothing_behind(tmp_path):
    asked = asyncio.Event()

    async def script(connection: ServerConnection) -> None:
        asked.set()
        await connection.wait_closed()

    async with live_service(tmp_path, script) as service:
        opening = asyncio.create_task(why_not(service.connector(), service.token()))
        await asked.wait()
        opening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await opening


async def test_the_environment_has_no_say(tmp_path, monkeypatch):
    for name, value in {
        "GOOGLE_GENAI_USE_VERTEXAI": "true",
        "GOOGLE_GENAI_USE_ENTERPRISE": "true",
        "GOOGLE_GEMINI_BASE_URL": "https://127.0.0.1:1",
        "GOOGLE_API_KEY": "AIzaOfSomebodyElse",
        "GOOGLE_GENAI_API_VERSION": "v9",
        "HTTPS_PROXY": "http://127.0.0.1:1",
        "ALL_PROXY": "socks5://127.0.0.1:1",
        "SSL_CERT_FILE": "/nonexistent",
    }.items():
        monkeypatch.setenv(name, value)

    async with live_service(tmp_path, saying()) as service:
        async with service.connector().open(service.token(), Request(Mode.HANDS_FREE)):
            pass
        (request,) = service.requests
    assert request.path.startswith("/ws/google.ai.generativelanguage.v1alpha.")
    assert request.headers["Authorization"] == f"Token {TOKEN}"


async def test_warming_up_needs_no_network_and_leaves_nothing_open():
    await GeminiConnector(LiveSettings(), ()).warm_up()


async def test_the_environment_cannot_have_the_secrets_of_a_connection_written_down(tmp_path, monkeypatch):
    monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / "secrets"))

    async with linked(tmp_path, saying()):
        pass
    assert not (tmp_path / "secrets").exists()
