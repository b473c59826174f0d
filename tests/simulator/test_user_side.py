"""Sessions as the real SDK sees them."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from google.genai import errors, types

from appliance.simulator.model.replies import Reply, ToolStep, load
from appliance.simulator.options import ScheduledGoAway, SimulatorOptions
from appliance.simulator.server import Simulator
from appliance.units import UPLINK
from tests.support.simulator import (
    AUTOMATIC,
    HASTY,
    PUSH_TO_TALK,
    called_tool,
    connected,
    heard,
    loud,
    offered_handle,
    quiet,
    said,
    speak,
    turn,
    until_audio,
)

pytestmark = [
    pytest.mark.realtime,
    pytest.mark.filterwarnings("ignore::google.genai._common.ExperimentalWarning"),
]

TALKATIVE: dict[str, Any] = {
    "input_audio_transcription": {},
    "output_audio_transcription": {},
    "session_resumption": {},
}
LONG = Reply(said(5.0), text="a long story")


def kinds(simulator: Simulator, sender: str) -> list[str]:
    return [message.kind for message in simulator.sessions[0].messages if message.sender == sender]


async def test_a_turn_found_by_its_energy_is_answered_with_every_sample(options: SimulatorOptions):
    spoken = np.concatenate([quiet(0.2), loud(0.4), quiet(0.3)])

    async with Simulator(options) as simulator:
        async with connected(simulator, HASTY) as session:
            assert session.setup_complete is not None
            await speak(session, spoken)
            messages = await turn(session)
        record = simulator.sessions[0]
    assert np.array_equal(heard(messages), load(options.replies[0]))
    activity = [message.voice_activity.voice_activity_type for message in messages if message.voice_activity]
    assert [one.value for one in activity] == ["ACTIVITY_START", "ACTIVITY_END"]
    assert messages[-1].server_content.turn_complete
    assert messages[-1].usage_metadata.total_token_count > 0
    assert any(message.server_content and message.server_content.generation_complete for message in messages)
    assert np.array_equal(record.samples(), spoken)
    assert record.interruptions == 0
    assert record.close_code == 1000


async def test_transcriptions_and_a_handle_come_where_they_are_asked_for(options: SimulatorOptions):
    async with Simulator(options) as simulator, connected(simulator, {**HASTY, **TALKATIVE}) as session:
        await speak(session, np.concatenate([loud(0.2), quiet(0.2)]))
        messages = await turn(session)
        await session.send_realtime_input(text="go on")
        first, second = messages, await turn(session)
    contents = [message.server_content for message in first if message.server_content]
    assert "".join(one.input_transcription.text for one in contents if one.input_transcription) == " what is it"
    assert "".join(one.output_transcription.text for one in contents if one.output_transcription) == " one two three"
    updates = [message.session_resumption_update for message in second if message.session_resumption_update]
    assert updates[0].resumable
    assert updates[0].new_handle


async def test_turn_complete_comes_when_the_audio_would_have_been_played(options: SimulatorOptions):
    chosen = replace(options, replies=(Reply(said(0.4)),))
    async with Simulator(chosen) as simulator, connected(simulator, AUTOMATIC) as session:
        loop = asyncio.get_running_loop()
        began = loop.time()
        await session.send_realtime_input(text="hello")
        moments = {}
        async for message in session.receive():
            content = message.server_content
            for name in ("generation_complete", "turn_complete"):
                if content and getattr(content, name):
                    moments[name] = loop.time() - began
    assert moments["generation_complete"] < 0.35
    assert moments["turn_complete"] >= 0.4


@pytest.mark.parametrize("speed", [1.0, 200.0], ids=["while generating", "while still playing"])
async def test_speech_into_a_reply_interrupts_it(options: SimulatorOptions, speed: float):
    chosen = replace(options, replies=(LONG, Reply(said(0.1))), speed=speed)
    async with Simulator(chosen) as simulator, connected(simulator, HASTY) as session:
        await speak(session, np.concatenate([loud(0.2), quiet(0.2)]))
        first = await until_audio(session)
        await speak(session, loud(0.2, seed=8))
        first += await turn(session)
        await speak(session, quiet(0.2))
        second, record = await turn(session), simulator.sessions[0]
    contents = [message.server_content for message in first if message.server_content]
    assert contents[-2].interrupted
    assert contents[-1].turn_complete
    assert len(heard(second)) == len(said(0.1))
    assert record.interruptions == 1
    assert [one.interrupted for one in record.turns] == [True, False]
    if speed == 1.0:
        assert len(heard(first)) < len(said(5.0)) / 2


async def test_a_tool_is_called_and_the_reply_waits_for_its_answer(options: SimulatorOptions):
    reply = Reply(said(0.1), tool=ToolStep("get_time", {"zone": "local"}))

    chosen = replace(options, replies=(reply,))
    async with Simulator(chosen) as simulator, connected(simulator, AUTOMATIC) as session:
        await session.send_realtime_input(text="what time is it")
        receiving = aiter(session.receive())
        call = await called_tool(receiving)
        early = kinds(simulator, "service")
        answer = types.FunctionResponse(id=call.id, name=call.name, response={"time": "noon"})
        await session.send_tool_response(function_responses=[answer])
        messages = [message async for message in receiving]
    assert (call.name, call.args) == ("get_time", {"zone": "local"})
    assert not any("modelTurn" in kind for kind in early)
    assert np.array_equal(heard(messages), load(reply))


async def test_an_interruption_cancels_the_tool_call(options: SimulatorOptions):
    reply = Reply(said(0.1), tool=ToolStep("get_time"))

    async with (
        Simulator(replace(options, replies=(reply, Reply(said(0.1))))) as simulator,
        connected(simulator, AUTOMATIC) as session,
    ):
        await session.send_realtime_input(text="what time is it")
        receiving = aiter(session.receive())
        call = await called_tool(receiving)
        await session.send_client_content(turns={"role": "user", "parts": [{"text": "never mind"}]})
        messages = [message async for message in receiving]
    assert messages[0].tool_call_cancellation == types.LiveServerToolCallCancellation(ids=[call.id])
    assert messages[1].server_content
    assert messages[1].server_content.interrupted


async def test_a_push_to_talk_turn_is_what_lies_between_its_marks(options: SimulatorOptions):
    inside = loud(0.3, seed=9)

    async with Simulator(options) as simulator:
        async with connected(simulator, PUSH_TO_TALK) as session:
            await speak(session, loud(0.1))
            await session.send_realtime_input(activity_start=types.ActivityStart())
            await speak(session, inside)
            await session.send_realtime_input(activity_end=types.ActivityEnd())
            await speak(session, loud(0.2))
            messages = await turn(session)
        record = simulator.sessions[0]
    assert np.array_equal(heard(messages), load(options.replies[0]))
    assert np.array_equal(record.samples(), inside)
    assert record.outside_samples == UPLINK.frames(0.3)
    assert record.push_to_talk


async def test_a_press_into_a_reply_interrupts_it(options: SimulatorOptions):
    async with Simulator(replace(options, replies=(LONG,))) as simulator:
        async with connected(simulator, PUSH_TO_TALK) as session:
            await session.send_realtime_input(text="tell me a story")
            await until_audio(session)
            await session.send_realtime_input(activity_start=types.ActivityStart())
            messages = await turn(session)
        record = simulator.sessions[0]
    assert any(message.server_content and message.server_content.interrupted for message in messages)
    assert record.interruptions == 1


@pytest.mark.parametrize(
    ("config", "message", "reason"),
    [
        (AUTOMATIC, {"activity_start": types.ActivityStart()}, "automatic activity detection"),
        (PUSH_TO_TALK, {"activity_end": types.ActivityEnd()}, "out of turn"),
        (PUSH_TO_TALK, {"audio_stream_end": True}, "automatic activity detection"),
        (AUTOMATIC, {"audio": types.Blob(data=b"ab", mime_type="audio/opus")}, "rate=16000"),
        (AUTOMATIC, {"audio": types.Blob(data=b"abc", mime_type="audio/pcm;rate=16000")}, "16-bit"),
        (AUTOMATIC, {"media": types.Blob(data=b"ab", mime_type="audio/pcm;rate=16000")}, "mediaChunks"),
    ],
)
async def test_what_the_contract_excludes_closes_with_1007(options: SimulatorOptions, config, message, reason):
    async with Simulator(options) as simulator, connected(simulator, config) as session:
        await session.send_realtime_input(**message)
        with pytest.raises(errors.APIError) as caught:
            await turn(session)
        error = caught.value
    assert error.code == 1007
    assert "Request contains an invalid argument." in error.details
    assert reason in error.details


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({"response_modalities": ["TEXT"]}, "AUDIO only"),
        ({**AUTOMATIC, "session_resumption": {"handle": "from elsewhere"}}, "handle"),
    ],
)
async def test_an_impossible_set_up_closes_with_1007(options: SimulatorOptions, config, reason):
    async with Simulator(options) as simulator:
        with pytest.raises(errors.APIError) as caught:
            async with connected(simulator, config):
                pass
        error, sessions = caught.value, len(simulator.sessions)
    assert error.code == 1007
    assert reason in error.details
    assert sessions == 0


async def test_a_resumed_session_goes_on_in_the_script(options: SimulatorOptions):
    async with Simulator(options) as simulator:
        async with connected(simulator, {**AUTOMATIC, "session_resumption": {}}) as session:
            await session.send_realtime_input(text="first")
            await turn(session)
            handle = await offered_handle(session)
        resuming = {**AUTOMATIC, "session_resumption": {"handle": handle}}
        async with connected(simulator, resuming) as session:
            await session.send_realtime_input(text="second")
            messages, sessions = await turn(session), simulator.sessions
    assert np.array_equal(heard(messages), load(options.replies[1]))
    assert [record.resumed for record in sessions] == [False, True]


async def test_the_end_of_a_connection_is_announced(options: SimulatorOptions):
    go_away = ScheduledGoAway(after_s=0.0, time_left_s=0.05)
    async with Simulator(replace(options, go_away=go_away)) as simulator:
        async with connected(simulator, AUTOMATIC) as session:
            first = await anext(aiter(session.receive()))
            with pytest.raises(errors.APIError) as caught:
                await turn(session)
        error = caught.value
    assert first.go_away == types.LiveServerGoAway(time_left="0.05s")
    assert error.code == 1011


async def test_set_up_is_answered_after_the_link_delay_and_nothing_sent_before_is_lost(options: SimulatorOptions):
    async with Simulator(replace(options, link_delay_s=0.2)) as simulator:
        loop = asyncio.get_running_loop()
        began = loop.time()
        async with connected(simulator, AUTOMATIC) as session:
            waited = loop.time() - began
            await session.send_realtime_input(text="hello")
            messages = await turn(session)
    assert waited >= 0.2
    assert len(heard(messages))


async def test_the_model_thinks_for_as_long_as_it_is_told(options: SimulatorOptions):
    chosen = replace(options, thinking_s=0.2)
    async with Simulator(chosen) as simulator, connected(simulator, AUTOMATIC) as session:
        began = asyncio.get_running_loop().time()
        await session.send_realtime_input(text="hello")
        await until_audio(session)
        result = asyncio.get_running_loop().time() - began
    assert result >= 0.2


async def test_the_record_names_fields_and_never_holds_words(options: SimulatorOptions):
    async with Simulator(options) as simulator, connected(simulator, {**AUTOMATIC, **TALKATIVE}) as session:
        await session.send_realtime_input(text="a secret")
        await turn(session)
    assert kinds(simulator, "client")[1:] == ["realtimeInput.text"]
    assert kinds(simulator, "service")[:4] == [
        "setupComplete",
        "sessionResumptionUpdate.resumable",
        "serverContent.modelTurn",
        "serverContent.outputTranscription",
    ]


Scene = Callable[[str], np.ndarray]


async def test_the_shipped_scene_has_its_story_told(scene: Scene, tmp_path: Path):
    """The questions of the scene get the shipped replies, the first of them interrupted."""
    samples = scene("scene_hey_rhasspy")

    async with Simulator(SimulatorOptions(directory=tmp_path, speed=50)) as simulator:
        async with connected(simulator, AUTOMATIC) as session:
            await speak(session, samples)
            await speak(session, quiet(1))
            first = await turn(session)
            async for message in session.receive():
                if message.server_content and message.server_content.generation_complete:
                    break
        record = simulator.sessions[0]
    assert any(message.server_content and message.server_content.interrupted for message in first)
    assert [one.reply for one in record.turns] == [0, 1]
    assert [one.interrupted for one in record.turns] == [True, False]
