"""The real service's known behaviour: close codes, sample rates, initial history, handles."""

import asyncio
import base64
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from appliance.core.backoff import Backoff
from appliance.errors import LinkAction
from appliance.live.failures import WAITS, ConnectionFailure, FailureKind, Phase, classify
from appliance.simulator.contract.locks import parse_lock
from appliance.simulator.ports import Caller
from appliance.units import UPLINK, Pcm
from tests.simulator.inmemory import END, LONG, PRESSED, SETUP, START, TEXT, Message, ending, service, until
from tests.support.simulator import loud, quiet, said
from tests.support.websocket import QUESTION, content, handles


def keyed(key: str) -> Caller:
    return Caller(constrained=False, version="v1alpha", credential=key)


def tokened(name: str) -> Caller:
    return Caller(constrained=True, version="v1alpha", credential=name)


async def ended(caller: Caller | None = None, setup: Message = SETUP, **options: Any) -> tuple[int, str]:
    """Return how a connection ends that is refused for its set-up."""
    async with service(**options) as running, running.connect(caller or keyed("simulator")) as session:
        await session.send({"setup": setup})
        return await ending(session)


def action(ending_seen: tuple[int, str]) -> LinkAction:
    return classify(ConnectionFailure(Phase.OPENING, FailureKind.CLOSED, *ending_seen)).action


async def test_a_wrong_key_is_1007_and_the_device_fetches_a_token():
    code, reason = await ended(keyed("another"))
    assert code == 1007
    assert "API key not valid" in reason
    assert action((code, reason)) is LinkAction.NEW_TOKEN


async def test_a_spent_token_is_1011_and_the_device_fetches_another_without_waiting_for_the_service():
    async with service() as running:
        caller = tokened(running.mint(uses=1))
        async with running.open(SETUP, caller):
            pass
        async with running.connect(caller) as again:
            await again.send({"setup": SETUP})
            code, reason = await ending(again)
    assert (code, reason) == (1011, "Token has been used too many times")
    assert action((code, reason)) is LinkAction.NEW_TOKEN
    assert WAITS[LinkAction.NEW_TOKEN] == Backoff(0.1, 60.0)


async def test_an_expired_token_is_1011_before_and_in_a_session():
    soon = datetime.now(UTC) + timedelta(seconds=10)

    async with service() as running:
        caller = tokened(running.mint(uses=0, expireTime=soon.isoformat()))
        async with running.open(SETUP, caller) as session:
            await asyncio.sleep(11)
            await session.send(TEXT)
            late = await ending(session)
        async with running.connect(caller) as again:
            await again.send({"setup": SETUP})
            result = late, await ending(again)
    for phase, seen in zip((Phase.OPEN, Phase.OPENING), result, strict=True):
        assert seen[0] == 1011
        assert classify(ConnectionFailure(phase, FailureKind.CLOSED, *seen)).action is LinkAction.NEW_TOKEN


@pytest.mark.parametrize("code", [1007, 1008])
async def test_an_unknown_handle_is_either_of_two_codes_and_the_device_begins_a_session(code):
    setup = {**SETUP, "sessionResumption": {"handle": "made-up"}}
    seen = await ended(setup=setup, unknown_handle_code=code)
    assert seen[0] == code
    assert action(seen) is LinkAction.FRESH_SESSION


@pytest.mark.parametrize("model", ["gemini-3.1-flash-live-preview", "gemini-3.8-live"])
async def test_initial_history_is_not_answered_and_what_comes_after_it_is(model):
    setup = {**SETUP, "model": f"models/{model}", "historyConfig": {"initialHistoryInClientContent": True}}
    part: Message = {"clientContent": {"turns": [], "turnComplete": False}}
    last: Message = {"clientContent": {"turns": [], "turnComplete": True}}

    async with service() as running, running.open(setup) as session:
        for message in (part, last):
            await session.send(message)
        await asyncio.sleep(30)
        before = len(running.sessions[0].turns)
        await session.send(TEXT)
        await until(session, "turnComplete")
        result = before, len(running.sessions[0].turns)
    assert result == (0, 1)


async def test_where_no_history_was_announced_content_is_answered():
    async with service() as running, running.open(SETUP) as session:
        await session.send({"clientContent": {"turns": [], "turnComplete": True}})
        await until(session, "turnComplete")
        result = len(running.sessions[0].turns)
    assert result == 1


def at_rate(pcm: Pcm, mime: str) -> Message:
    data = base64.b64encode(pcm.astype("<i2").tobytes()).decode()
    return {"realtimeInput": {"audio": {"data": data, "mimeType": mime}}}


def tone(rate_hz: int, seconds: float) -> Pcm:
    moments = np.arange(round(rate_hz * seconds)) / rate_hz
    return (8000 * np.sin(2 * np.pi * 440 * moments)).astype(np.int16)


@pytest.mark.parametrize("rate_hz", [8000, 16000, 24000, 44100, 48000])
async def test_audio_of_any_rate_is_heard_at_16_khz(rate_hz):
    async with service() as running, running.open(PRESSED) as session:
        await session.send(START)
        spoken = tone(rate_hz, 1.0)
        step = rate_hz // 25
        for start in range(0, len(spoken), step):
            await session.send(at_rate(spoken[start : start + step], f"audio/pcm;rate={rate_hz}"))
        await session.send(END)
        await until(session, "turnComplete")
        heard = running.sessions[0].samples()
    assert len(heard) == pytest.approx(UPLINK.rate_hz, abs=2)
    middle = heard[2000:10000].astype(float)
    strongest = np.argmax(np.abs(np.fft.rfft(middle))) * UPLINK.rate_hz / len(middle)
    assert abs(strongest - 440) < 4
    assert 7000 < np.abs(middle).max() < 9000


async def test_speech_at_48_khz_is_a_turn_and_the_end_of_the_stream_loses_nothing_of_it():
    spoken = np.repeat(np.concatenate([loud(0.4), quiet(0.05)]), 3)

    async with service() as running, running.open(SETUP) as session:
        await session.send(at_rate(spoken, "audio/pcm;rate=48000"))
        await session.send({"realtimeInput": {"audioStreamEnd": True}})
        await session.send(at_rate(quiet(1.0), "audio/pcm"))
        await until(session, "turnComplete")
        result = len(running.sessions[0].samples())
    assert result == pytest.approx(1.45 * 16000, abs=2)


@pytest.mark.parametrize("mime", ["audio/pcm;rate=0", "audio/pcm;rate=999999", "audio/opus", "audio/pcm;rate=x", ""])
async def test_audio_of_no_rate_that_there_is_ends_the_connection(mime):
    async with service() as running, running.open(SETUP) as session:
        await session.send(at_rate(said(0.1), mime))
        result = await ending(session)
    assert result[0] == 1007


async def test_typed_words_have_no_transcription_and_spoken_ones_do():
    async with service(LONG) as running, running.open(SETUP) as session:
        typed, spoken = await session.exchange(TEXT), await session.exchange(QUESTION)
    assert not any("inputTranscription" in content(message) for message in typed)
    assert any("inputTranscription" in content(message) for message in spoken)


async def test_a_token_made_as_in_googles_own_example_resumes():
    # ai.google.dev, ephemeral tokens: the constraints name resumption, and no field mask locks the rest.
    token_setup = {
        "model": "models/gemini-3.8-live",
        "generationConfig": {"temperature": 0.7, "responseModalities": ["AUDIO"]},
        "sessionResumption": {},
    }
    lock = parse_lock(token_setup, None)
    asked = {"model": "models/other", "sessionResumption": {"handle": "h"}}
    assert lock.applied(asked) == {**token_setup, "sessionResumption": {"handle": "h"}}
    assert lock.applied({"model": "models/other"}) == token_setup

    async with service() as running:
        body = {"uses": 1, "bidiGenerateContentSetup": {**token_setup, "realtimeInputConfig": {}}}
        caller = tokened(running.mint(**body))
        async with running.open(SETUP, caller) as session:
            await session.exchange(TEXT)
            (handle,) = handles([await session.receive()])
            await session.close()
        async with running.open({**SETUP, "sessionResumption": {"handle": handle}}, caller):
            result = [record.session for record in running.sessions]
    assert result == [1, 1]


async def test_one_model_sends_handles_unasked_and_often_while_it_is_silent():
    unasked = {name: value for name, value in SETUP.items() if name != "sessionResumption"}

    async def main(model: str) -> list[str]:
        async with service() as running, running.open({**unasked, "model": model}) as session:
            came = []
            deadline = asyncio.get_running_loop().time() + 6.5
            while (left := deadline - asyncio.get_running_loop().time()) > 0:
                try:
                    async with asyncio.timeout(left):
                        came += handles([await session.receive()])
                except TimeoutError:
                    break
            async with running.open({**unasked, "model": model, "sessionResumption": {}}) as another:
                await another.close()
            return came

    often = await main("models/gemini-3.1-flash-live-preview")
    assert len(often) == len(set(often)) == 5
    assert await main("models/gemini-3.8-live") == []
