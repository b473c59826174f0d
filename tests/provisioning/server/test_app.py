import json
import logging
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta

import httpx2
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import text

from appliance.provisioning.common import keys, signatures
from appliance.provisioning.common.protocol import (
    MAX_REQUEST_BYTES,
    TOKENS_PATH,
    Problem,
    ProblemCode,
    TokenResponse,
)
from appliance.provisioning.server import migrate
from appliance.provisioning.server.ports import UpstreamError
from appliance.provisioning.server.store import DatabaseStore, open_engine
from tests.support.provisioning import (
    API_KEY,
    ASKED,
    DEVICE,
    KEY,
    NOW,
    OPEN,
    SERVER,
    SERVER_KEY,
    TOKEN,
    FakeUpstream,
    InThisThread,
    World,
    post,
    refused,
    server_settings,
    signed_headers,
    transport,
    world,
)


async def test_a_device_is_given_a_token_and_all_it_has_to_know():
    upstream = FakeUpstream()
    server = transport(upstream, live_base_url="https://live.test", lock={"voice": "Puck"}, max_session_min=20)
    response = await post(server, signed_headers())
    assert response.status_code == 200
    assert response.headers["cache-control"] == "no-store"
    answer = TokenResponse.model_validate_json(response.content)
    assert answer.token.get_secret_value() == TOKEN
    assert (answer.model, answer.api_version) == ("gemini-3.8-live", "v1alpha")
    assert (answer.base_url, answer.effective.voice) == ("https://live.test", "Puck")
    assert answer.server_time == NOW
    assert answer.new_session_expires_at == upstream.specs[0].new_session_expires_at == NOW + timedelta(minutes=1)
    assert answer.expires_at == upstream.specs[0].expires_at == NOW + timedelta(minutes=21)


async def test_a_token_fetched_ahead_may_wait_longer():
    upstream = FakeUpstream()
    body = ASKED.replace(b"new", b"prefetch")
    assert (await post(transport(upstream), signed_headers(body=body), body)).status_code == 200
    assert upstream.specs[0].new_session_expires_at == NOW + timedelta(minutes=10)


async def test_a_number_that_was_used_is_refused_with_the_last_one():
    here = world()
    assert (await here.token(sequence=5)).status_code == 200
    here.later(seconds=1)
    for sequence in (5, 4, 1):
        problem = refused(await here.token(sequence=sequence), ProblemCode.SEQUENCE_CONFLICT)
        assert problem.last_sequence == 5
    assert len(here.upstream.specs) == 1


async def test_a_request_whose_answer_was_lost_costs_no_second_session_and_no_token_is_given_twice():
    upstream = FakeUpstream()
    server = transport(upstream)
    assert (await post(server, signed_headers(5))).status_code == 200
    problem = refused(await post(server, signed_headers(5)), ProblemCode.ALREADY_MINTED)
    assert problem.last_sequence == 5
    assert (await post(server, signed_headers(6))).status_code == 200
    assert len(upstream.specs) == 2


async def test_every_way_not_to_be_a_known_device_looks_the_same():
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
    # What looks like a signature gets a signed answer; nothing in it tells the one case from the other.
    assert ["signature" in answer.headers for answer in answers] == [True] * 4 + [False] * 3
    assert len({tuple(sorted(answer.headers)) for answer in answers[:4]}) == 1
    # None of them has used up the device's number.
    assert (await post(server, signed_headers())).status_code == 200


async def test_a_second_copy_of_a_signature_header_is_refused():
    headers = [*signed_headers().items(), ("signature", signed_headers()["signature"])]
    async with httpx2.AsyncClient(transport=transport()) as http:
        response = await http.post(f"{SERVER}{TOKENS_PATH}", content=ASKED, headers=headers)
    refused(response, ProblemCode.SIGNATURE_INVALID)


async def test_a_request_that_was_signed_for_another_server_is_refused():
    refused(
        await post(transport(authorities=("other.test",)), signed_headers()),
        ProblemCode.SIGNATURE_INVALID,
    )
    ours = transport(authorities=("other.test", "Provisioning.TEST"))
    assert (await post(ours, signed_headers())).status_code == 200


@pytest.mark.parametrize(
    "changed",
    [
        {"public_url": "https://Provisioning.test:443"},
        {"public_url": "https://other.test", "authorities": ("provisioning.test:443",)},
    ],
)
async def test_the_name_of_the_public_address_is_the_one_that_counts(changed):
    assert (await post(transport(**changed), signed_headers())).status_code == 200
    other = transport(public_url="https://other.test")
    refused(await post(other, signed_headers()), ProblemCode.SIGNATURE_INVALID)
    signed = await post(other, signed_headers())
    assert "signature" in signed.headers


@pytest.mark.parametrize(
    ("host", "signed_for"),
    [
        ("provisioning.test/v1/device/rotate#", "/v1/device/rotate"),
        ("provisioning.test/v1/device/rotate?", "/v1/device/rotate"),
        ("provisioning.test/v1", "/v1/v1/tokens"),
        ("me@provisioning.test", "/v1/tokens"),
        ("provisioning.test\\@other", "/v1/tokens"),
        ("", "/v1/tokens"),
    ],
)
@pytest.mark.parametrize("known", [(), ("provisioning.test",)])
async def test_a_request_that_was_signed_for_one_path_is_served_on_no_other(host, signed_for, known):
    """The header ``Host`` and the path are two things, whatever either holds."""
    request = signatures.SignedRequest("POST", f"{SERVER}{signed_for}", {}, ASKED)
    signed = signatures.sign(request, KEY, signatures.Signer(DEVICE, 1), NOW)

    server = transport(authorities=known)
    headers = {**signed_headers(), **signed, "host": host}
    refused(await post(server, headers), ProblemCode.SIGNATURE_INVALID)
    assert (await post(server, signed_headers())).status_code == 200


@pytest.mark.parametrize(
    "path", ["/v1/device%2Frotate", "/%761/tokens", "/v1/tokens%23", "/v1/tokens?", "/v1/tokens?x"]
)
async def test_a_path_that_is_not_the_one_that_is_served_is_refused(path):
    request = signatures.SignedRequest("POST", f"{SERVER}{path}", {}, ASKED)
    signed = signatures.sign(request, KEY, signatures.Signer(DEVICE, 1), NOW)

    answer = await post(transport(), {**signed_headers(), **signed}, path=path)
    if path == "/v1/tokens?":  # the client leaves it out
        assert answer.status_code == 200
    else:
        refused(answer, ProblemCode.SIGNATURE_INVALID)


async def test_a_request_to_two_names_is_refused():
    headers = [*signed_headers().items(), ("host", "provisioning.test"), ("host", "other.test")]
    async with httpx2.AsyncClient(transport=transport()) as http:
        response = await http.post(f"{SERVER}{TOKENS_PATH}", content=ASKED, headers=headers)
    refused(response, ProblemCode.SIGNATURE_INVALID)


async def test_a_body_beyond_the_bound_is_refused_before_it_is_read_or_checked():
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while True:
            sent += 1024
            yield b" " * 1024

    async with httpx2.AsyncClient(transport=transport()) as http:
        response = await http.post(f"{SERVER}{TOKENS_PATH}", content=endless(), headers=signed_headers())
    refused(response, ProblemCode.TOO_LARGE)
    assert sent <= MAX_REQUEST_BYTES + 2048


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"{", b'{"mode":"wake"}', b'{"mode":"shout","purpose":"new"}', ASKED.replace(b"}", b',"voice":"x"}')],
)
async def test_a_request_that_makes_no_sense_is_refused_without_a_token(body):
    upstream = FakeUpstream()
    response = await post(transport(upstream), signed_headers(body=body), body)
    refused(response, ProblemCode.INVALID_REQUEST)
    assert upstream.specs == []


async def test_another_content_type_is_refused():
    response = await post(transport(), {**signed_headers(), "content-type": "text/plain"})
    refused(response, ProblemCode.UNSUPPORTED_MEDIA_TYPE)


@pytest.mark.parametrize(
    ("code", "wait"),
    [
        (ProblemCode.UPSTREAM_REJECTED, None),
        (ProblemCode.UPSTREAM_UNAVAILABLE, 5),
        (ProblemCode.UPSTREAM_QUOTA, 60),
    ],
)
async def test_trouble_with_the_service_is_told_and_shows_in_readyz(code, wait):
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


async def test_what_the_framework_refuses_looks_the_same():
    async with httpx2.AsyncClient(transport=transport(), base_url=SERVER) as http:
        refused(await http.get("/nothing"), ProblemCode.NOT_FOUND)
        refused(await http.get("/docs"), ProblemCode.NOT_FOUND)
        refused(await http.get(TOKENS_PATH), ProblemCode.SIGNATURE_INVALID)
    response = await world().ask("GET", TOKENS_PATH)
    refused(response, ProblemCode.METHOD_NOT_ALLOWED)
    assert response.headers["allow"] == "POST"


async def test_a_mistake_of_ours_is_told_without_its_reason():
    class Broken(FakeUpstream):
        async def mint(self, spec: object) -> str:
            raise RuntimeError(API_KEY)

    response = await post(transport(Broken()), signed_headers())
    refused(response, ProblemCode.INTERNAL)
    assert API_KEY not in response.text


async def test_no_log_at_any_level_and_no_repr_holds_the_token_or_the_key(caplog):
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


async def test_the_application_closes_the_service_and_the_store_when_it_ends():
    here = world()
    async with here.app.router.lifespan_context(here.app):
        assert not here.upstream.closed
        assert (await here.token()).status_code == 200
    assert here.upstream.closed


async def test_a_server_that_is_about_to_end_takes_nothing_new_and_says_so():
    here = world()
    here.parts.drain.begin()
    assert refused(await here.token(), ProblemCode.DRAINING).retry_after == 2
    async with httpx2.AsyncClient(transport=here.transport, base_url=SERVER) as http:
        refused(await http.get("/readyz"), ProblemCode.DRAINING)
        assert (await http.get("/healthz")).status_code == 200


async def readyz(here: World) -> httpx2.Response:
    async with httpx2.AsyncClient(transport=here.transport, base_url=SERVER) as http:
        return await http.get("/readyz")


async def test_a_database_that_fails_is_told_by_readyz_and_to_devices_without_its_reason(caplog):
    here = world()
    here.work(lambda connection: connection.execute(text("DROP TABLE session")))
    refused(await here.token(), ProblemCode.INTERNAL)
    assert (await readyz(here)).status_code == 200
    here.work(lambda connection: connection.execute(text("DROP TABLE audit_head")))
    answer = await readyz(here)
    problem = Problem.model_validate_json(answer.content)
    assert (answer.status_code, problem.status, problem.code) == (503, 503, ProblemCode.INTERNAL)
    assert "audit_head" not in answer.text
    assert "no such table" in caplog.text
    assert "SELECT" not in caplog.text


async def test_a_file_that_is_no_database_any_more_is_told_by_readyz(tmp_path):
    file = tmp_path / "x.sqlite"
    store = DatabaseStore(open_engine(f"sqlite:///{file}"), InThisThread())
    OPEN.append(store)
    migrate.upgrade(store.engine)

    here = world(store=store)
    here.work(lambda connection: connection.execute(text("PRAGMA wal_checkpoint(TRUNCATE)")).all())
    assert (await readyz(here)).status_code == 200
    with file.open("r+b") as stream:
        stream.write(bytes(range(256)) * (file.stat().st_size // 256))
    assert (await readyz(here)).status_code == 503


async def test_every_answer_to_a_signed_request_is_signed_for_that_request():
    here = world()
    trusted = {keys.thumbprint(SERVER_KEY): SERVER_KEY.public_key()}
    responses = [await here.token(), await here.token(sequence=1), await here.ask("GET", "/v1/nothing")]
    here.parts.drain.begin()
    for response in (*responses, await here.token()):
        asked = signatures.SignedRequest(
            response.request.method, str(response.request.url), dict(response.request.headers), b""
        )
        answer = signatures.SignedAnswer(response.status_code, dict(response.headers), response.content)
        signatures.verify_answer(answer, asked, trusted)
        for other in (
            replace(answer, status=201),
            replace(answer, body=answer.body + b" "),
            replace(answer, headers={k: v for k, v in answer.headers.items() if not k.startswith("signature")}),
        ):
            with pytest.raises(signatures.SignatureInvalid):
                signatures.verify_answer(other, asked, trusted)
        with pytest.raises(signatures.SignatureInvalid):
            signatures.verify_answer(answer, replace(asked, headers={"signature": "sig=:AAAA:"}), trusted)
        with pytest.raises(signatures.SignatureInvalid):
            signatures.verify_answer(answer, asked, {"another": KEY.public_key()})


async def test_an_appliance_that_is_too_old_is_told_so():
    here = world(min_agent_version="1.2")
    for agent, old in (("voice-appliance/1.1.9", True), ("voice-appliance/1.2.0", False), ("curl/8", False)):
        response = await here.token(headers={"user-agent": agent})
        assert (response.status_code == 426) is old, agent


async def test_who_finds_a_weakness_learns_whom_to_tell():
    for contact, status in ((None, 404), ("mailto:security@example.org", 200)):
        async with httpx2.AsyncClient(transport=transport(security_contact=contact), base_url=SERVER) as http:
            response = await http.get("/.well-known/security.txt")
        assert response.status_code == status
    assert response.text.startswith("Contact: mailto:security@example.org\nExpires: 2027-05-19T12:00:00Z\n")
