"""Wire format of google-genai, as far as we rely on it. Fails when a new release changes it."""

import asyncio
import base64
import json
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from google import genai
from google.genai import errors, types
from google.genai.live import AsyncSession
from websockets.asyncio.server import ServerConnection

from appliance.config.schema import LiveSettings
from appliance.core.state import Mode
from appliance.errors import LinkError
from appliance.live.gemini.connection import GeminiConnector
from appliance.live.gemini.setup import live_config
from appliance.live.ports import (
    HistorySeed,
    Link,
    Request,
    Role,
    Scheduling,
    SeedMethod,
    ToolDeclaration,
    ToolResult,
    Turn,
)
from tests.support.live_service import TOKEN, Service, live_service, say, set_up

pytestmark = pytest.mark.realtime

KEY = "AIzaSyA-key-that-never-lives-on-a-device"
CLOCK = ToolDeclaration(
    "get_time", "Say what time it is.", {"type": "object", "properties": {"zone": {"type": "string"}}}
)


def common(**detection: bool) -> dict[str, Any]:
    return {
        "model": "models/gemini-3.8-live",
        "generationConfig": {
            "responseModalities": ["AUDIO"],
            "speechConfig": {
                "voice_config": {"prebuilt_voice_config": {"voice_name": "Kore"}},
                "language_code": "en-US",
            },
        },
        "systemInstruction": {"parts": [{"text": "Be brief."}], "role": "user"},
        "tools": [
            {
                "functionDeclarations": [
                    {
                        "description": "Say what time it is.",
                        "name": "get_time",
                        "parameters_json_schema": {"type": "object", "properties": {"zone": {"type": "string"}}},
                        "behavior": "BLOCKING",
                    }
                ]
            }
        ],
        "inputAudioTranscription": {},
        "outputAudioTranscription": {},
        "realtimeInputConfig": {"automatic_activity_detection": detection},
        "contextWindowCompression": {"trigger_tokens": 25_000, "sliding_window": {"target_tokens": 12_000}},
    }


SET_UPS = [
    (Mode.HANDS_FREE, None, {"setup": common(disabled=False) | {"sessionResumption": {}}}),
    (Mode.PUSH_TO_TALK, "handle-1", {"setup": common(disabled=True) | {"sessionResumption": {"handle": "handle-1"}}}),
]


async def set_up_and_stay(connection: ServerConnection) -> None:
    await set_up(connection)
    await connection.wait_closed()


def connector_of(service: Service) -> GeminiConnector:
    return service.connector(CLOCK, instruction="Be brief.")


@pytest.mark.parametrize(("mode", "handle", "golden"), SET_UPS, ids=["hands-free", "push-to-talk, resumed"])
async def test_the_set_up_is_what_it_was(tmp_path, mode, handle, golden):
    async with live_service(tmp_path, set_up_and_stay) as service:
        async with connector_of(service).open(service.token(), Request(mode, handle)):
            pass
        (frame,) = service.set_ups
    assert json.loads(frame) == golden


PCM = bytes(range(248, 256)) * 2
"""Its base64 differs between the standard and the URL-safe alphabet."""
FRAMES: list[tuple[Callable[[Link], Awaitable[None]], dict[str, Any]]] = [
    (
        lambda link: link.send_audio(PCM),
        {
            "realtime_input": {
                "audio": {"data": base64.urlsafe_b64encode(PCM).decode(), "mime_type": "audio/pcm;rate=16000"}
            }
        },
    ),
    (lambda link: link.send_activity_start(), {"realtime_input": {"activityStart": {}}}),
    (lambda link: link.send_activity_end(), {"realtime_input": {"activityEnd": {}}}),
    (lambda link: link.send_audio_stream_end(), {"realtime_input": {"audioStreamEnd": True}}),
    (lambda link: link.send_text("Good evening."), {"realtime_input": {"text": "Good evening."}}),
    (
        lambda link: link.send_tool_result(ToolResult("call-1", "get_time", {"time": "noon"})),
        {"tool_response": {"functionResponses": [{"id": "call-1", "name": "get_time", "response": {"time": "noon"}}]}},
    ),
    (
        lambda link: link.send_tool_result(ToolResult("call-2", "fetch", {}, Scheduling.WHEN_IDLE)),
        {
            "tool_response": {
                "functionResponses": [{"id": "call-2", "name": "fetch", "response": {}, "scheduling": "WHEN_IDLE"}]
            }
        },
    ),
    (
        lambda link: link.send_seed(HistorySeed(SeedMethod.CONTENT, (Turn(Role.PERSON, "Hello."),))),
        {
            "client_content": {
                "turns": [{"parts": [{"text": "Hello."}], "role": "user"}],
                "turnComplete": False,
            }
        },
    ),
    (
        lambda link: link.send_seed(HistorySeed(SeedMethod.INITIAL_HISTORY, (Turn(Role.MODEL, "Good evening."),))),
        {
            "client_content": {
                "turns": [{"parts": [{"text": "Good evening."}], "role": "model"}],
                "turnComplete": True,
            }
        },
    ),
]


async def test_every_frame_is_what_it_was(tmp_path):
    frames: asyncio.Queue[Any] = asyncio.Queue()

    async def script(connection: ServerConnection) -> None:
        await set_up(connection)
        async for frame in connection:
            assert isinstance(frame, str)  # text frames, as the service expects
            frames.put_nowait(json.loads(frame))

    assert base64.urlsafe_b64encode(PCM) != base64.b64encode(PCM)
    async with (
        live_service(tmp_path, script) as service,
        connector_of(service).open(service.token(), Request(Mode.PUSH_TO_TALK)) as link,
    ):
        for send, _ in FRAMES:
            await send(link)
        result = [await frames.get() for _ in FRAMES]
    assert result == [golden for _, golden in FRAMES]


@pytest.mark.parametrize(
    ("credential", "method", "authorization"),
    [
        (TOKEN, "BidiGenerateContentConstrained", f"Token {TOKEN}"),
        (KEY, "BidiGenerateContent", None),
    ],
    ids=["token", "key"],
)
async def test_the_credential_goes_into_headers_and_never_into_the_address(tmp_path, credential, method, authorization):
    async with live_service(tmp_path, set_up_and_stay) as service:
        async with connector_of(service).open(service.token(credential), Request(Mode.HANDS_FREE)):
            pass
        (request,) = service.requests
    assert request.path == f"/ws/google.ai.generativelanguage.v1alpha.GenerativeService.{method}"
    assert request.headers.get("Authorization") == authorization
    assert request.headers["x-goog-api-key"] == credential
    assert "Sec-WebSocket-Extensions" not in request.headers


async def test_the_websocket_options_arrive(tmp_path):
    async with (
        live_service(tmp_path, set_up_and_stay) as service,
        connector_of(service).open(service.token(), Request(Mode.HANDS_FREE)) as link,
    ):
        socket = link._session._ws
        result = (
            socket.ping_interval,
            socket.ping_timeout,
            socket.close_timeout,
            socket.protocol.max_message_size,
            socket.protocol.extensions,
        )
    assert result == (20, None, 1, 16 * 2**20, [])


async def test_no_token_no_key_and_no_word_is_logged_or_shown_even_at_debug(tmp_path, caplog):
    caplog.set_level(logging.DEBUG)
    shown: list[str] = []

    async def script(connection: ServerConnection) -> None:
        await set_up(connection)
        await say(connection, {"serverContent": {"outputTranscription": {"text": "a word in confidence"}}})
        await connection.close(1008, f"{TOKEN} has expired")

    async with live_service(tmp_path, script) as service:
        token = service.token()
        connector = connector_of(service)
        shown.extend((repr(token), repr(connector)))
        async with connector.open(token, Request(Mode.HANDS_FREE)) as link:
            shown.append(repr(link))
            try:
                async for message in link.messages():
                    shown.append(repr(message))  # noqa: PERF401  the error comes after it
            except LinkError as error:
                shown.extend((str(error), repr(error)))
    # The loopback server is not part of the appliance.
    client = [record for record in caplog.records if record.name != "websockets.server"]
    assert any("SpokenText" in line for line in shown)
    assert any("expired" in line for line in shown)
    everything = "\n".join([*shown, *(record.getMessage() for record in client)])
    assert TOKEN not in everything
    assert "a-secret" not in everything
    assert "in confidence" not in everything


USED = {
    "input_audio_transcription",
    "output_audio_transcription",
    "realtime_input_config",
    "response_modalities",
    "session_resumption",
    "context_window_compression",
    "speech_config",
    "system_instruction",
    "thinking_config",
    "tools",
}
LEFT_TO_THE_SERVICE = {
    "avatar_config",
    "enable_affective_dialog",
    "history_config",
    "labels",
    "max_output_tokens",
    "media_resolution",
    "proactivity",
    "safety_settings",
    "seed",
    "temperature",
    "top_k",
    "top_p",
    "translation_config",
}
NOT_FOR_US = {
    "explicit_vad_signal",  # not on the Developer API
    "generation_config",  # deprecated
    "http_options",  # said on the client
}


def test_every_field_of_a_set_up_is_used_or_left_out_on_purpose():
    assert set(types.LiveConnectConfig.model_fields) == USED | LEFT_TO_THE_SERVICE | NOT_FOR_US
    assert live_config(LiveSettings(), "gemini-3.8-live", Request(Mode.HANDS_FREE), (CLOCK,)).model_fields_set == USED


def test_what_the_service_may_say_is_what_we_translate():
    assert set(types.LiveServerMessage.model_fields) == {
        "setup_complete",
        "server_content",
        "tool_call",
        "tool_call_cancellation",
        "usage_metadata",
        "go_away",
        "session_resumption_update",
        "voice_activity",
        "voice_activity_detection_signal",  # not on the Developer API
    }


def test_the_public_names_are_there():
    assert issubclass(errors.ExperimentalWarning, Warning)
    assert issubclass(errors.ServerError, errors.APIError)
    assert issubclass(errors.ClientError, errors.APIError)
    for name in ("send_realtime_input", "send_tool_response", "receive", "close"):
        assert callable(getattr(AsyncSession, name))
    assert callable(genai.Client.close)
