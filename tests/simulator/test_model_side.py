"""The model's side of a session, in virtual time: turns, tools, usage."""

import asyncio

import numpy as np
import pytest

from tests.simulator.inmemory import (
    END,
    LONG,
    NOON,
    PRESSED,
    SETUP,
    SHORT,
    START,
    TEXT,
    TOOLED,
    YES,
    Message,
    calls_of,
    ending,
    service,
    until,
)
from tests.support.simulator import loud, quiet
from tests.support.websocket import QUESTION, audio, content, handles, heard, result


async def test_a_session_cannot_be_resumed_while_the_model_generates():
    async with service(LONG) as running, running.open(SETUP) as session:
        messages, after = await session.exchange(TEXT), await session.receive()
    [before] = [one["sessionResumptionUpdate"] for one in messages if "sessionResumptionUpdate" in one]
    assert before == {"resumable": False}
    assert after["sessionResumptionUpdate"]["resumable"]


async def test_usage_grows_with_the_context_over_connections_and_is_cut_down_by_compression():
    compressed = {**SETUP, "contextWindowCompression": {"triggerTokens": 150, "slidingWindow": {"targetTokens": 20}}}

    prompts = []
    async with service(LONG) as running:
        async with running.open(compressed) as session:
            prompts.append((await session.exchange(TEXT))[-1]["usageMetadata"])
            handle = handles([await session.receive()])[0]
            await session.close()
        async with running.open({**compressed, "sessionResumption": {"handle": handle}}) as session:
            prompts.append((await session.exchange(QUESTION))[-1]["usageMetadata"])
            prompts.append((await session.exchange(TEXT))[-1]["usageMetadata"])
    assert [(one["promptTokenCount"], one["responseTokenCount"]) for one in prompts] == [
        (0, 100),
        (110, 100),
        (20, 100),
    ]


async def test_where_nothing_interrupts_the_next_turn_waits_for_the_end_of_this_one():
    patient = {**SETUP, "realtimeInputConfig": {**SETUP["realtimeInputConfig"], "activityHandling": "NO_INTERRUPTION"}}

    async with service(LONG, SHORT) as running, running.open(patient) as session:
        await session.send(QUESTION)
        await until(session, "modelTurn")
        first = await session.exchange(QUESTION, QUESTION)
        second, turns = await session.exchange(), running.sessions[0].turns
    assert not any("interrupted" in content(message) for message in first)
    assert np.array_equal(heard(second), YES)
    assert len(turns) == 2, "one reply to all that was said meanwhile"


async def test_text_is_refused_after_the_beginning_by_the_model_that_takes_it_only_there():
    history = {"clientContent": {"turns": [], "turnComplete": False}}
    last = {"clientContent": {"turns": [], "turnComplete": True}}
    model = {**SETUP, "model": "models/gemini-3.1-flash-live-preview"}
    seeded = {**model, "historyConfig": {"initialHistoryInClientContent": True}}

    endings = []
    async with service() as running:
        for chosen, messages in ((model, [history]), (seeded, [history, last, history])):
            async with running.open(chosen) as session:
                for message in messages:
                    await session.send(message)
                endings.append((await ending(session))[0])
    assert (endings, [len(record.messages) for record in running.sessions]) == ([1007, 1007], [3, 5])


def declaring(behavior: str, **fields: object) -> Message:
    return {**SETUP, "tools": [{"functionDeclarations": [{"name": "get_time", "behavior": behavior}]}], **fields}


async def test_a_model_that_does_not_wait_ends_its_turn_and_speaks_when_it_has_the_result():
    async with service(TOOLED) as running, running.open(declaring("NON_BLOCKING")) as session:
        await session.send(TEXT)
        [call] = await calls_of(session)
        first = await until(session, "turnComplete")
        await session.send(result(call, willContinue=True))
        second = await session.exchange(result(call, scheduling="WHEN_IDLE"))
        handle = handles([await session.receive()])
    assert content(first[-1])["interactionStatus"] == "IN_PROGRESS"
    assert len(heard(first)) == 0
    assert np.array_equal(heard(second), NOON)
    assert content(second[-1])["interactionStatus"] == "IDLE"
    assert handle, "only now can the session be resumed"


@pytest.mark.parametrize(("scheduling", "interrupted"), [("INTERRUPT", True), ("WHEN_IDLE", False)])
async def test_a_late_result_interrupts_or_waits_as_it_says(scheduling: str, interrupted: bool):
    async with service(TOOLED, LONG) as running, running.open(declaring("NON_BLOCKING")) as session:
        await session.send(TEXT)
        [call] = await calls_of(session)
        await until(session, "turnComplete")
        await session.send(TEXT)
        await until(session, "modelTurn")
        await session.send(result(call, scheduling=scheduling))
        story = await until(session, "turnComplete")
        told = await session.exchange()
    assert any("interrupted" in content(message) for message in story) is interrupted
    assert np.array_equal(heard(told), NOON)


async def test_a_silent_result_is_not_spoken_of():
    async with service(TOOLED) as running, running.open(declaring("NON_BLOCKING")) as session:
        await session.send(TEXT)
        [call] = await calls_of(session)
        await until(session, "turnComplete")
        await session.send(result(call, scheduling="SILENT"))
        idle, offer = [await session.receive(), await session.receive()]
    assert content(idle) == {"interactionStatus": "IDLE"}
    assert handles([offer])


async def test_a_result_waits_until_the_person_has_finished():
    async with (
        service(TOOLED, SHORT) as running,
        running.open(declaring("NON_BLOCKING", realtimeInputConfig=PRESSED["realtimeInputConfig"])) as session,
    ):
        await session.send(TEXT)
        [call] = await calls_of(session)
        await until(session, "turnComplete")
        await session.send(START)
        await session.send(result(call))
        await asyncio.sleep(5)
        turns = len(running.sessions[0].turns)
        await session.send(END)
        turns, *replies = (
            turns,
            heard(await until(session, "turnComplete")),
            heard(await until(session, "turnComplete")),
        )
    assert turns == 1
    assert np.array_equal(replies[0], NOON)
    assert np.array_equal(replies[1], YES)


async def test_the_thinking_model_says_when_it_is_idle_and_takes_no_scheduling():
    thinking = {"thinkingConfig": {"thinkingLevel": "LOW"}}
    model = {"model": "models/gemini-3.8-live-extended-thinking", "generationConfig": thinking}

    async with service(SHORT, TOOLED) as running, running.open(declaring("NON_BLOCKING", **model)) as session:
        end = (await session.exchange(TEXT))[-1]
        await session.send(TEXT)
        [call] = await calls_of(session)
        await session.send(result(call, scheduling="WHEN_IDLE"))
        code, reason = await ending(session)
    assert content(end)["interactionStatus"] == "IDLE"
    assert code == 1007
    assert "Scheduling" in reason


@pytest.mark.parametrize(
    ("model", "ends"), [("gemini-3.8-live", False), ("gemini-3.1-flash-live-preview", True), ("any", True)]
)
async def test_the_end_of_the_stream_ends_a_turn_with_some_models_and_audio_with_all(model: str, ends: bool):
    asked = {**SETUP, "model": f"models/{model}"}

    async with service() as running, running.open(asked) as session:
        await session.send(audio(loud(0.3)))
        await session.send({"realtimeInput": {"audioStreamEnd": True}})
        await asyncio.sleep(10)
        before = len(running.sessions[0].turns)
        await session.send(audio(quiet(0.2)))
        await asyncio.sleep(1)
        result = before, len(running.sessions[0].turns)
    assert result == (int(ends), 1)
