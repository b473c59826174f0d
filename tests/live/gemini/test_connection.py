"""An open connection: messages that go on, the end and its reason, and leaving quickly."""

import asyncio
import json
import logging
import time
from contextlib import suppress
from typing import Any

import pytest

from appliance.config.schema import LiveSettings
from appliance.core.state import Mode
from appliance.errors import LinkCause, LinkError
from appliance.live.gemini.connection import MAX_UNREADABLE, GeminiConnector
from appliance.live.messages import HeardText, ReplyAudio, TurnComplete
from appliance.live.ports import LiveToken, Request, ToolResult
from appliance.units import Seconds
from tests.live.gemini.links import TURN_COMPLETE, linked, read_to_the_end
from tests.support.live_service import TOKEN, Service, live_service, say, saying, set_up, turn

pytestmark = pytest.mark.realtime

HEARD = {"serverContent": {"inputTranscription": {"text": " hello"}}}


async def test_messages_go_on_over_the_ends_of_turns(tmp_path):
    async def script(connection):
        await set_up(connection)
        await say(connection, turn("AAA=", "AQA="), TURN_COMPLETE, turn("AgA=", turnComplete=True), HEARD)
        await connection.close()

    async with linked(tmp_path, script) as link:
        got, ended = await read_to_the_end(link)
    assert got == [
        ReplyAudio(b"\x00\x00"),
        ReplyAudio(b"\x01\x00"),
        TurnComplete(),
        ReplyAudio(b"\x02\x00"),
        TurnComplete(),
        HeardText(" hello"),
    ]
    assert ended.cause is LinkCause.ENDED


STRANGE = [
    b'{"somethingNew": {"with": "content"}}',
    b'{"error": {"code": 429, "message": "quota"}}',
    b"{not json",
    b"[1, 2]",
    b'"words"',
    b'{"serverContent": {"modelTurn": "not a content"}}',
    b'{"serverContent": {"modelTurn": {"parts": [{"inlineData": {"data": "!"}}]}}}',
    b"\xff\xfe",
    b"[" * 100_000,
]


async def test_messages_that_cannot_be_read_are_passed_over(tmp_path):
    async def script(connection):
        await set_up(connection)
        for frame in STRANGE:
            await connection.send(frame)
            await say(connection, TURN_COMPLETE)
        await connection.close()

    async with linked(tmp_path, script) as link:
        got, ended = await read_to_the_end(link)
    assert got == [TurnComplete()] * len(STRANGE)
    assert ended.cause is LinkCause.ENDED


async def test_unknown_fields_unknown_enum_values_and_empty_messages_do_no_harm(tmp_path):
    messages: tuple[dict[str, Any], ...] = (
        {},
        {"serverContent": {"newField": 1, "interactionStatus": "PONDERING"}},
        {"voiceActivity": {"type": "ACTIVITY_SIGH"}},
        TURN_COMPLETE,
    )

    async with linked(tmp_path, saying(*messages)) as link:
        stream = link.messages()
        first = await anext(stream)
        await stream.aclose()
    assert first == TurnComplete()


async def test_a_service_that_talks_only_strangely_is_given_up(tmp_path):
    async with linked(tmp_path, saying(*[{"somethingNew": {}}] * MAX_UNREADABLE)) as link:
        got, ended = await read_to_the_end(link)
    assert not got
    assert ended.cause is LinkCause.PROTOCOL


async def test_audio_in_another_format_is_passed_over_counted_and_logged_once(tmp_path, caplog):
    message = turn("AAA=")
    message["serverContent"]["modelTurn"]["parts"][0]["inlineData"]["mimeType"] = "audio/pcm;rate=16000"

    async def script(connection):
        await set_up(connection)
        await say(connection, turn("AAA="), *[message] * MAX_UNREADABLE, turn("AAA="))
        await connection.close()

    with caplog.at_level(logging.WARNING):
        async with linked(tmp_path, script) as link:
            (got, ended), malformed = await read_to_the_end(link), link.malformed
    assert got == [ReplyAudio(b"\0\0")] * 2
    assert malformed == MAX_UNREADABLE
    assert ended.cause is LinkCause.ENDED
    assert [record.event for record in caplog.records if hasattr(record, "event")] == ["link.malformed"]


ENDINGS = [
    (1000, "", LinkCause.ENDED),
    (1001, "", LinkCause.DROPPED),
    (1007, "Request contains an invalid argument.", LinkCause.PROTOCOL),
    (1008, "Operation is not implemented, or supported, or enabled.", LinkCause.DROPPED),
    (1008, "Token expired.", LinkCause.REFUSED),
    (1011, "Internal error encountered.", LinkCause.DROPPED),
    (1011, "You exceeded your current quota, please check your plan.", LinkCause.QUOTA),
    (4000, "", LinkCause.DROPPED),
]


async def test_an_open_link_that_is_closed_says_why_to_reader_and_sender(tmp_path):
    endings = iter(ENDINGS)

    async def script(connection):
        await set_up(connection)
        await connection.close(*next(endings)[:2])

    async def one(service: Service) -> tuple[LinkError, LinkError]:
        async with service.connector().open(service.token(), Request(Mode.HANDS_FREE)) as link:
            ended = (await read_to_the_end(link))[1]
            with pytest.raises(LinkError) as unsent:
                await link.send_audio(b"\0\0")
            return ended, unsent.value

    async with live_service(tmp_path, script) as service:
        result = [await one(service) for _ in ENDINGS]
    for (code, reason, cause), (ended, unsent) in zip(ENDINGS, result, strict=True):
        assert (ended.cause, unsent.cause) == (cause, cause), reason
        assert str(code) in str(ended)
        assert reason in str(unsent)


async def test_a_link_whose_connection_breaks_is_dropped(tmp_path):
    async def script(connection):
        await set_up(connection)
        connection.transport.abort()

    async with linked(tmp_path, script) as link:
        result = (await read_to_the_end(link))[1]
    assert result.cause is LinkCause.DROPPED


async def test_leaving_is_quick_even_when_the_peer_is_deaf(tmp_path):
    async def script(connection):
        await set_up(connection)
        connection.transport.pause_reading()
        await connection.wait_closed()

    async def leave(service: Service, megabytes: int) -> float:
        async with service.connector().open(service.token(), Request(Mode.HANDS_FREE)) as link:
            for _ in range(megabytes):  # far more than the kernel takes: sending comes to a standstill
                with suppress(TimeoutError):
                    async with asyncio.timeout(0.01):
                        await link.send_audio(bytes(1_000_000))
            began = time.monotonic()
        return time.monotonic() - began

    async def leave_in_a_hurry(service: Service) -> float:
        leaving = asyncio.create_task(leave(service, 16))
        await asyncio.sleep(0.5)
        leaving.cancel()
        await asyncio.wait([leaving])
        return 0.0

    async with live_service(tmp_path, script) as service:
        result = await asyncio.gather(leave(service, 0), leave(service, 16), leave_in_a_hurry(service))
    assert max(result) < 4


async def test_links_of_one_connector_follow_one_another(tmp_path):
    async with live_service(tmp_path, saying(TURN_COMPLETE)) as service:
        connector = service.connector()
        for handle in (None, "handle-1", "handle-2"):
            async with connector.open(service.token(), Request(Mode.HANDS_FREE, handle)) as link:
                stream = link.messages()
                assert await anext(stream) == TurnComplete()
                await stream.aclose()
        result = [json.loads(text)["setup"]["sessionResumption"] for text in service.set_ups]
    assert result == [{}, {"handle": "handle-1"}, {"handle": "handle-2"}]


async def test_a_result_that_is_not_json_is_an_error_of_the_link_and_leaves_it_open(tmp_path):
    async with linked(tmp_path, saying(TURN_COMPLETE)) as link:
        with pytest.raises(LinkError):
            await link.send_tool_result(ToolResult("1", "get_time", {"time": object()}))
        await link.send_text("still here")


def test_the_chatty_loggers_stay_quiet_and_the_others_as_they_are():
    loggers = {name: logging.getLogger(name) for name in ("websockets", "httpx2", "google_genai")}
    before = {name: logger.level for name, logger in loggers.items()}
    try:
        loggers["websockets"].setLevel(logging.DEBUG)
        loggers["httpx2"].setLevel(logging.ERROR)
        GeminiConnector(LiveSettings(), ())
        assert loggers["websockets"].level == logging.INFO
        assert loggers["httpx2"].level == logging.ERROR
        assert loggers["google_genai"].getEffectiveLevel() >= logging.INFO
    finally:
        for name, level in before.items():
            loggers[name].setLevel(level)


def test_a_token_does_not_show_itself():
    token = LiveToken(TOKEN, "gemini-3.8-live", "v1alpha", None, Seconds(0.0), Seconds(0.0), Seconds(0.0))
    assert TOKEN not in repr(token)
