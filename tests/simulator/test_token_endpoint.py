"""Tokens, from the request that mints one to the session that it lets in."""

import asyncio
import json
import ssl
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http.client import HTTPSConnection
from typing import Any

import numpy as np
import pytest
from google.genai import errors

from appliance.simulator.options import SimulatorOptions
from appliance.simulator.server import Simulator
from tests.support.simulator import AUTOMATIC, connected, heard, loud, mint, offered_handle, quiet, speak, turn

pytestmark = [
    pytest.mark.realtime,
    pytest.mark.filterwarnings("ignore::google.genai._common.ExperimentalWarning"),
    pytest.mark.filterwarnings("ignore:.*support for ephemeral tokens.*"),
]

LOCKED = {"live_connect_constraints": {"model": "gemini-3.8-live", "config": {"response_modalities": ["AUDIO"]}}}


def ahead(**duration: float) -> datetime:
    return datetime.now(UTC) + timedelta(**duration)


async def refusal(simulator: Simulator, token: str, config=AUTOMATIC) -> errors.APIError:
    with pytest.raises(errors.APIError) as caught:
        async with connected(simulator, config, key=token):
            pass
    return caught.value


@pytest.mark.parametrize("version", ["v1alpha", "v1beta", "v1"])
@pytest.mark.filterwarnings("ignore::UserWarning")
async def test_a_token_opens_one_session(options: SimulatorOptions, version: str):
    async with Simulator(options) as simulator:
        token = await mint(simulator, LOCKED)
        async with connected(simulator, AUTOMATIC, key=token, version=version) as session:
            await session.send_realtime_input(text="hello")
            answer = await turn(session)
        error = await refusal(simulator, token)
    assert len(heard(answer))
    assert error.code == 1011
    assert "too many times" in error.details


async def test_an_empty_request_is_enough_for_a_token(options: SimulatorOptions):
    async with Simulator(options) as simulator:
        result = await mint(simulator, {})
    assert result.startswith("auth_tokens/")


async def test_a_token_with_unlimited_uses_opens_many_sessions(options: SimulatorOptions):
    async with Simulator(options) as simulator:
        token = await mint(simulator, {"uses": 0})
        for _ in range(3):
            async with connected(simulator, AUTOMATIC, key=token):
                pass
        result = len(simulator.sessions)
    assert result == 3


async def test_a_token_that_nobody_minted_is_refused_with_the_first_message(options: SimulatorOptions):
    async with Simulator(options) as simulator:
        result = await refusal(simulator, "auth_tokens/made-up")
    assert result.code == 1008


async def test_a_token_that_expires_ends_even_a_running_session(options: SimulatorOptions):
    async with Simulator(options) as simulator:
        token = await mint(simulator, {"uses": 0, "expire_time": ahead(seconds=1.5)})
        async with connected(simulator, AUTOMATIC, key=token) as session:
            await asyncio.sleep(1.5)
            await session.send_realtime_input(text="hello")
            with pytest.raises(errors.APIError) as caught:
                await turn(session)
    assert caught.value.code == 1011
    assert "expired" in caught.value.details


async def test_after_its_window_a_token_resumes_but_does_not_begin(options: SimulatorOptions):
    async with Simulator(options) as simulator:
        async with connected(simulator, {**AUTOMATIC, "session_resumption": {}}) as session:
            await session.send_realtime_input(text="hello")
            await turn(session)
            handle = await offered_handle(session)
        token = await mint(simulator, {"new_session_expire_time": ahead(seconds=2)})
        await asyncio.sleep(2)
        refused = await refusal(simulator, token)
        async with connected(simulator, {**AUTOMATIC, "session_resumption": {"handle": handle}}, key=token):
            error = refused
    assert error.code == 1011
    assert "new session" in error.details


async def test_a_token_that_locks_everything_overrides_the_set_up(options: SimulatorOptions):
    async with Simulator(options) as simulator:
        token = await mint(simulator, {**LOCKED, "uses": 0})
        asked = {**AUTOMATIC, "output_audio_transcription": {}, "session_resumption": {"handle": "unknown"}}
        async with connected(simulator, asked, key=token) as session:
            await session.send_realtime_input(text="hello")
            messages = await turn(session)
    assert not any(one.server_content and one.server_content.output_transcription for one in messages)


async def test_a_token_that_locks_some_fields_leaves_the_others(options: SimulatorOptions):
    async with Simulator(options) as simulator:
        token = await mint(simulator, {**LOCKED, "lock_additional_fields": ["outputAudioTranscription"]})
        asked = {**AUTOMATIC, "output_audio_transcription": {}, "input_audio_transcription": {}}
        async with connected(simulator, asked, key=token) as session:
            await speak(session, np.concatenate([loud(0.4), quiet(0.8)]))
            result = await turn(session)
    contents = [one.server_content for one in result if one.server_content]
    assert any(one.input_transcription for one in contents)
    assert not any(one.output_transcription for one in contents)


@pytest.mark.parametrize(
    ("change", "key", "code"),
    [({}, "another", 400), ({"refuse_tokens": True}, "simulator", 403)],
    ids=["wrong key", "tokens refused"],
)
async def test_the_sdk_sees_a_refusal_as_a_client_error(options: SimulatorOptions, change, key, code):
    async with Simulator(replace(options, **change)) as simulator:
        with pytest.raises(errors.ClientError) as caught:
            await mint(simulator, LOCKED, key=key)
        error = caught.value
    assert error.code == code
    assert error.message


def post(simulator: Simulator, *requests: tuple[str, str, dict[str, str], bytes]) -> list[tuple[int, Any]]:
    """Send requests over one connection; return codes and bodies."""
    port = int(simulator.base_url.rpartition(":")[2])
    context = ssl.create_default_context(cafile=simulator.ca_file)
    connection = HTTPSConnection("127.0.0.1", port, context=context, timeout=10)
    answers = []
    for method, path, headers, body in requests:
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        answers.append((response.status, json.loads(response.read())))
    connection.close()
    return answers


KEY = {"x-goog-api-key": "simulator"}


async def test_requests_over_one_connection_are_answered_one_by_one(options: SimulatorOptions):
    requests = [
        ("POST", "/v1alpha/auth_tokens", KEY, b""),
        ("POST", "/v1beta/auth_tokens", KEY, b'{"uses": 3, "new_session_expire_time": "2020-01-01T00:00:00Z"}'),
        ("POST", "/v1alpha/auth_tokens", KEY, b'{"colour": "red"}'),
        ("POST", "/v1alpha/auth_tokens", KEY, b"{"),
        ("POST", "/v1alpha/auth_tokens", KEY, b"[]"),
        ("POST", "/v1alpha/auth_tokens", KEY, b'{"uses": -1}'),
        ("POST", "/v1alpha/auth_tokens", KEY, b'{"expireTime": "tomorrow"}'),
        ("POST", "/v1alpha/auth_tokens", KEY, b'{"bidiGenerateContentSetup": {"colour": "red"}}'),
        ("POST", "/v1alpha/auth_tokens", KEY, b'{"fieldMask": "session_resumption"}'),
        ("POST", "/v1alpha/auth_tokens", {}, b""),
        ("POST", "/v2/auth_tokens", KEY, b""),
        ("PUT", "/v1alpha/auth_tokens", KEY, b""),
    ]

    async with Simulator(options) as simulator:
        answers = await asyncio.to_thread(post, simulator, *requests)
    assert [code for code, _ in answers] == [200, 400, 400, 400, 400, 400, 400, 400, 400, 403, 404, 404]
    assert answers[0][1]["name"].startswith("auth_tokens/")
    assert set(answers[1][1]["error"]) == {"code", "message", "status"}
    assert answers[1][1]["error"]["status"] == "INVALID_ARGUMENT"
    assert "colour" in answers[2][1]["error"]["message"]


async def test_a_body_beyond_the_limit_is_refused(options: SimulatorOptions):
    async with Simulator(options) as simulator:
        result = await asyncio.to_thread(post, simulator, ("POST", "/v1/auth_tokens", KEY, b"x" * 100_000))
    assert result[0][0] == 413
