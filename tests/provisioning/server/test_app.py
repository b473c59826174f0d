import json
import logging
from collections.abc import AsyncIterator
from datetime import timedelta

import httpx2
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from appliance.provisioning.protocol import (
    MAX_REQUEST_BYTES,
    PROBLEM_JSON,
    STATUS,
    TOKENS_PATH,
    Problem,
    ProblemCode,
    TokenResponse,
)
from appliance.provisioning.server.app import create_app
from appliance.provisioning.server.ports import UpstreamError
from tests.clock import run_virtual
from tests.provisioning.worlds import (
    API_KEY,
    ASKED,
    NOW,
    SERVER,
    TOKEN,
    FakeUpstream,
    post,
    server_settings,
    signed_headers,
    transport,
)


def refused(response: httpx2.Response, code: ProblemCode) -> Problem:
    """Check that ``response`` is this problem, told as all are."""
    problem = Problem.model_validate_json(response.content)
    assert problem.code == code
    assert response.status_code == problem.status == STATUS[code]
    assert response.headers["content-type"] == PROBLEM_JSON
    assert response.headers["cache-control"] == "no-store"
    return problem


def test_a_device_is_given_a_token_and_all_it_has_to_know():
    upstream = FakeUpstream()
    server = transport(upstream, live_base_url="https://live.test", lock={"voice": "Puck"}, max_session_min=20)
    response = run_virtual(lambda: post(server, signed_headers()))
    assert response.status_code == 200
    assert response.headers["cache-control"] == "no-store"
    answer = TokenResponse.model_validate_json(response.content)
    assert answer.token.get_secret_value() == TOKEN
    assert (answer.model, answer.api_version) == ("gemini-3.8-live", "v1alpha")
    assert (answer.base_url, answer.effective.voice) == ("https://live.test", "Puck")
    assert answer.server_time == NOW
    assert answer.new_session_expires_at == upstream.specs[0].new_session_expires_at == NOW + timedelta(minutes=1)
    assert answer.expires_at == upstream.specs[0].expires_at == NOW + timedelta(minutes=21)


def test_a_token_fetched_ahead_may_wait_longer():
    upstream = FakeUpstream()
    body = ASKED.replace(b"new", b"prefetch")
    assert run_virtual(lambda: post(transport(upstream), signed_headers(body=body), body)).status_code == 200
    assert upstream.specs[0].new_session_expires_at == NOW + timedelta(minutes=10)


def test_a_replayed_request_is_refused_with_the_last_number():
    async def main() -> None:
        upstream = FakeUpstream()
        server = transport(upstream)
        assert (await post(server, signed_headers(5))).status_code == 200
        for sequence in (5, 4, 1):
            problem = refused(await post(server, signed_headers(sequence)), ProblemCode.SEQUENCE_CONFLICT)
            assert problem.last_sequence == 5
        assert (await post(server, signed_headers(6))).status_code == 200
        assert len(upstream.specs) == 2

    run_virtual(main)


def test_every_way_not_to_be_a_known_device_looks_the_same():
    async def main() -> None:
        server = transport()
        wrong_key = Ed25519PrivateKey.generate()
        attempts = [
            signed_headers(device="stranger"),
            signed_headers(key=wrong_key),
            signed_headers(device="stranger", key=wrong_key),
            signed_headers(body=b"{}"),
            {**signed_headers(), "signature": "sig=:AAAA:"},
            {**signed_headers(), "signature-input": "no structured field ("},
            {"content-type": "application/json"},
        ]
        answers = [await post(server, headers) for headers in attempts]
        for answer in answers:
            refused(answer, ProblemCode.SIGNATURE_INVALID)
        assert len({answer.content for answer in answers}) == 1
        assert len({tuple(sorted(answer.headers.items())) for answer in answers}) == 1
        # None of them has used up the device's number.
        assert (await post(server, signed_headers())).status_code == 200

    run_virtual(main)


def test_a_second_copy_of_a_signature_header_is_refused():
    async def main() -> None:
        headers = [*signed_headers().items(), ("signature", signed_headers()["signature"])]
        async with httpx2.AsyncClient(transport=transport()) as http:
            response = await http.post(f"{SERVER}{TOKENS_PATH}", content=ASKED, headers=headers)
        refused(response, ProblemCode.SIGNATURE_INVALID)

    run_virtual(main)


def test_a_request_that_was_signed_for_another_server_is_refused():
    async def main() -> None:
        refused(
            await post(transport(authorities=("other.test",)), signed_headers()),
            ProblemCode.SIGNATURE_INVALID,
        )
        ours = transport(authorities=("other.test", "Provisioning.TEST"))
        assert (await post(ours, signed_headers())).status_code == 200

    run_virtual(main)


def test_a_body_beyond_the_bound_is_refused_before_it_is_read_or_checked():
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while True:
            sent += 1024
            yield b" " * 1024

    async def main() -> None:
        async with httpx2.AsyncClient(transport=transport()) as http:
            response = await http.post(f"{SERVER}{TOKENS_PATH}", content=endless(), headers=signed_headers())
        refused(response, ProblemCode.TOO_LARGE)

    run_virtual(main)
    assert sent <= MAX_REQUEST_BYTES + 2048


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"{", b'{"mode":"wake"}', b'{"mode":"shout","purpose":"new"}', ASKED.replace(b"}", b',"voice":"x"}')],
)
def test_a_request_that_makes_no_sense_is_refused_without_a_token(body):
    upstream = FakeUpstream()
    response = run_virtual(lambda: post(transport(upstream), signed_headers(body=body), body))
    refused(response, ProblemCode.INVALID_REQUEST)
    assert upstream.specs == []


def test_another_content_type_is_refused():
    response = run_virtual(lambda: post(transport(), {**signed_headers(), "content-type": "text/plain"}))
    refused(response, ProblemCode.UNSUPPORTED_MEDIA_TYPE)


@pytest.mark.parametrize(
    ("code", "wait"),
    [
        (ProblemCode.UPSTREAM_REJECTED, None),
        (ProblemCode.UPSTREAM_UNAVAILABLE, 5),
        (ProblemCode.UPSTREAM_QUOTA, 60),
    ],
)
def test_trouble_with_the_service_is_told_and_shows_in_readyz(code, wait):
    async def main() -> None:
        upstream = FakeUpstream(UpstreamError(code, "because"))
        server = transport(upstream)
        async with httpx2.AsyncClient(transport=server, base_url=SERVER) as http:
            assert (await http.get("/readyz")).json()["upstream"] == "untried"
            response = await post(server, signed_headers(1))
            assert refused(response, code).retry_after == wait
            assert response.headers.get("retry-after") == (str(wait) if wait else None)
            ready = await http.get("/readyz")
            assert (ready.status_code, ready.json()["upstream"]) == (200, code)
            upstream.failure = None
            assert (await post(server, signed_headers(2))).status_code == 200
            assert (await http.get("/readyz")).json()["upstream"] == "ok"
            assert (await http.get("/healthz")).json() == {"status": "ok"}

    run_virtual(main)


def test_what_the_framework_refuses_looks_the_same():
    async def main() -> None:
        async with httpx2.AsyncClient(transport=transport(), base_url=SERVER) as http:
            refused(await http.get("/nothing"), ProblemCode.NOT_FOUND)
            refused(await http.get("/docs"), ProblemCode.NOT_FOUND)
            response = await http.get(TOKENS_PATH)
            refused(response, ProblemCode.METHOD_NOT_ALLOWED)
            assert response.headers["allow"] == "POST"

    run_virtual(main)


def test_a_mistake_of_ours_is_told_without_its_reason():
    class Broken(FakeUpstream):
        async def mint(self, spec: object) -> str:
            raise RuntimeError(API_KEY)

    response = run_virtual(lambda: post(transport(Broken()), signed_headers()))
    refused(response, ProblemCode.INTERNAL)
    assert API_KEY not in response.text


def test_no_log_at_any_level_and_no_repr_holds_the_token_or_the_key(caplog):
    async def main() -> None:
        server = transport()
        with caplog.at_level(logging.DEBUG):
            response = await post(server, signed_headers())
            await post(server, signed_headers(device="stranger"))
        assert TOKEN in response.text
        assert "kitchen" in caplog.text
        assert "stranger" in caplog.text
        for secret in (TOKEN, API_KEY):
            assert secret not in caplog.text
        assert API_KEY not in repr(server_settings())
        assert API_KEY not in json.dumps(server_settings().model_dump(), default=str)

    run_virtual(main)


def test_the_application_closes_the_service_when_it_ends():
    async def main() -> None:
        upstream = FakeUpstream()
        app = create_app(server_settings(), upstream)
        async with app.router.lifespan_context(app):
            assert not upstream.closed
        assert upstream.closed

    run_virtual(main)
