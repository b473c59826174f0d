"""The shipped scenarios that spoil a turn of the model do on the wire what they say."""

import asyncio
import json

import numpy as np
import pytest
from websockets.exceptions import ConnectionClosed

from appliance.simulator.model.replies import Reply
from appliance.simulator.scenario.file import load
from appliance.units import REPLY as REPLY_FORMAT
from appliance.units import Pcm
from tests.support.simulator import loud, said
from tests.support.websocket import (
    QUESTION,
    REPLY,
    SCALE,
    Message,
    audio,
    content,
    heard,
    result,
    simulator,
    talking,
    turn_complete,
)

pytestmark = pytest.mark.realtime


ODD = {
    "unknown_message": '{"somethingNew": {"value": 1}}',
    "error_message": '"RESOURCE_EXHAUSTED"',
    "code_message": '"code": 503',
    "not_json": "not JSON",
    "empty_message": "{}",
    "bad_audio": '"data": "!"',
    "odd_audio": '"mimeType": "audio/pcm;rate=24000", "data": "AAAA"',  # another format may come after the answer
    "wrong_type": '"perhaps"',
}


TOOLS = {"several_tools": 3, "unknown_tool": 1}


@pytest.mark.parametrize(
    ("name", "kinds"),
    [
        ("silent_turn", ["voiceActivity", "voiceActivity", "inputTranscription", "inputTranscription"]),
        ("ignored_turn", ["voiceActivity", "voiceActivity"]),
    ],
)
async def test_a_turn_can_go_unanswered_while_the_next_is_answered(name: str, kinds: list[str]):
    async with simulator(name) as running, talking(running) as wire:
        wire.messages.clear()
        await wire.send(QUESTION)
        first = [*await wire.until_quiet()]
        await wire.send(QUESTION)
        await wire.until(turn_complete)
    assert [next(iter(content(message) or message)) for message in first] == kinds


@pytest.mark.parametrize(("name", "words"), ODD.items())
async def test_odd_messages_come_and_the_session_goes_on(name: str, words: str):
    async with simulator(name, speed=50.0) as running, talking(running) as wire:
        await wire.send(QUESTION)
        payloads = []
        while '"generationComplete"' not in (payload := (await wire.connection.recv(decode=True))):
            payloads.append(payload)
    assert sum(words in payload for payload in payloads) == 1


@pytest.mark.parametrize(("name", "size"), [("large_message", 1 << 20), ("huge_message", 16 << 20)])
async def test_messages_can_be_larger_than_clients_take(name: str, size: int):
    async with simulator(name) as running:
        async with talking(running) as wire:
            await wire.send(QUESTION)
            with pytest.raises(ConnectionClosed) as caught:
                await wire.until(lambda _: False)
        sent = caught.value.sent
    assert sent is not None
    assert sent.code == 1009
    assert load(name).step[0].model_dump()["size_bytes"] > size


async def one_turn(name: str) -> list[Message]:
    async with simulator(name) as running, talking(running) as wire:
        await wire.send(QUESTION)
        await wire.until(turn_complete)
        return wire.messages


async def test_a_turn_can_be_empty():
    messages = await one_turn("empty_turn")
    assert len(heard(messages)) == 0
    assert messages[-1]["usageMetadata"]["responseTokenCount"] == 0


async def test_a_reply_can_be_next_to_silent():
    reply = heard(await one_turn("mute_audio"))
    assert len(reply) == len(REPLY)
    assert 0 < np.abs(reply).max() <= 2


async def test_a_reply_can_be_cut_short():
    long = said(1.2)

    async with simulator("cut_short", replies=(Reply(long),), speed=50.0) as running, talking(running) as wire:
        await wire.send(QUESTION)
        await wire.until(lambda message: "generationComplete" in content(message))
        result = heard(wire.messages)
    assert np.array_equal(result, long[:24_000])


async def test_a_healthy_turn_is_whole():
    assert np.array_equal(heard(await one_turn("healthy")), REPLY)


async def test_a_turn_can_end_in_progress():
    messages = await one_turn("stuck_in_progress")
    assert content(messages[-1]) == {"turnComplete": True, "interactionStatus": "IN_PROGRESS"}


async def moments_of_audio(name: str, reply: Pcm = REPLY) -> list[float]:
    """When each piece of audio came, from the end of the question on."""
    async with simulator(name, replies=(Reply(reply),)) as running, talking(running) as wire:
        loop = asyncio.get_running_loop()
        await wire.send(QUESTION)
        began, moments = loop.time(), []
        while "generationComplete" not in content(message := json.loads(await wire.connection.recv())):
            if "modelTurn" in content(message):
                moments.append(loop.time() - began)
        return moments


async def test_audio_can_be_slower_than_real_time():
    moments = await moments_of_audio("slow_audio", said(0.4))
    assert moments[-1] >= (0.4 - 0.08) / 0.7  # from the question on: the first piece may be read late


async def test_audio_can_come_in_bursts():
    async with simulator("bursts", replies=(Reply(said(3.0)),)) as running, talking(running) as wire:
        await wire.send(QUESTION)
        result = heard(await wire.until_quiet())
    assert len(result) == REPLY_FORMAT.frames(1.44), "whole pieces of 80 ms"


async def test_the_first_audio_can_take_its_time():
    assert (await moments_of_audio("slow_first_audio"))[0] >= 6 * SCALE


def test_the_model_can_become_slower_with_every_turn():
    waits = [(str(step.on), step.model_dump()["for_s"]) for step in load("latency_creep").step]
    assert waits == [("turn:4", 0.8), ("turn:5", 1.6), ("turn:6", 3.2)]


@pytest.mark.parametrize("name", ["phantom_interruption", "phantom_then_mute"])
async def test_the_model_can_be_interrupted_by_nobody(name: str):
    async with simulator(name, speed=1.0) as running, talking(running) as wire:
        await wire.send(QUESTION)
        await wire.until(turn_complete)
        first = [*wire.messages]
        wire.messages.clear()
        await wire.send(QUESTION)
        second = heard(await wire.until_quiet())
    assert "interrupted" in content(first[-2])
    assert len(heard(first)) < len(REPLY)
    assert (len(second) == 0) is (name == "phantom_then_mute")


async def test_an_interruption_can_come_before_anything_was_said():
    async with simulator("interruption_while_idle") as running, talking(running) as wire:
        result = await wire.receive()
    assert result == {"serverContent": {"interrupted": True}}


async def interrupted(name: str) -> list[Message]:
    async with simulator(name) as running, talking(running) as wire:
        await wire.send(QUESTION)
        await wire.until(lambda message: "modelTurn" in content(message))
        if name == "interruption_after_turn":
            await wire.until(turn_complete)
        await wire.send(audio(loud(0.2, seed=9)))
        return [*await wire.until_quiet()]


async def test_an_interruption_can_bring_audio_along():
    [told] = [content(message) for message in await interrupted("interruption_with_audio")][-3:-2]
    assert told["interrupted"]
    assert told["modelTurn"]["parts"]


async def test_an_interruption_can_come_without_an_end_of_the_turn():
    messages = await interrupted("interruption_without_end")
    ends = messages[[bool(content(message).get("interrupted")) for message in messages].index(True) :]
    assert not any(turn_complete(message) for message in ends[:2])


async def test_an_interruption_can_come_after_the_end_of_the_turn():
    messages = await interrupted("interruption_after_turn")
    ends = [index for index, message in enumerate(messages) if turn_complete(message)]
    assert len(ends) == 1
    assert content(messages[-1]) == {"interrupted": True}


@pytest.mark.parametrize(("name", "calls"), TOOLS.items())
async def test_tools_can_be_called_several_at_once(name: str, calls: int):
    async with simulator(name) as running, talking(running) as wire:
        await wire.send(QUESTION)
        called = (await wire.until(lambda message: "toolCall" in message))["toolCall"]["functionCalls"]
        for call in called[1:]:
            await wire.send(result(call))
        early = heard(await wire.until_quiet())
        await wire.send(result(called[0]))
        await wire.until(turn_complete)
        reply = heard(wire.messages)
    assert len({call["id"] for call in called}) == calls
    assert len(early) == 0
    assert np.array_equal(reply, REPLY)


async def test_calls_can_be_cancelled():
    async with simulator("tools_cancelled") as running, talking(running) as wire:
        await wire.send(QUESTION)
        await wire.until(turn_complete)
        messages = wire.messages
    [called] = [message["toolCall"]["functionCalls"] for message in messages if "toolCall" in message]
    [cancelled] = [message["toolCallCancellation"]["ids"] for message in messages if "toolCallCancellation" in message]
    assert sorted(call["id"] for call in called) == cancelled


async def test_words_soon_after_an_answer_can_go_unheard():
    async with simulator("overlooked_words") as running, talking(running) as wire:
        await wire.send(QUESTION)
        await wire.until(turn_complete)
        wire.messages.clear()
        await wire.send(QUESTION)
        overlooked = [*await wire.until_quiet()]
        await wire.send(QUESTION)
        await wire.until(turn_complete)
        received = running.sessions[0].received_samples
    assert not any("voiceActivity" in message or "inputTranscription" in content(message) for message in overlooked)
    assert received > 0


async def answered(name: str, turns: int) -> list[Message]:
    """Ask a question; return the messages that complete each of the first ``turns`` turns."""
    async with simulator(name) as running, talking(running) as wire:
        await wire.send(QUESTION)
        for _ in range(turns):
            await wire.until(turn_complete)
        return [content(message) for message in wire.messages if content(message).get("turnComplete")]


async def test_an_answer_can_come_in_a_second_turn():
    first, second = await answered("extended_thinking", 2)
    assert (first["interactionStatus"], second["interactionStatus"]) == ("IN_PROGRESS", "IDLE")


@pytest.mark.parametrize(
    ("name", "field", "value"),
    [
        ("turn_refused", "turnCompleteReason", "PROHIBITED_INPUT_CONTENT"),
        ("turn_failed", "turnCompleteReason", "MALFORMED_FUNCTION_CALL"),
        ("waits_for_input", "waitingForInput", True),
    ],
)
async def test_a_turn_can_end_with_a_word_on_why_there_is_no_answer(name: str, field: str, value: object):
    [told] = await answered(name, 1)
    assert told[field] == value
