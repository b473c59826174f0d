"""Connections: what gets in, what is cut off, what is left behind; with the real SDK."""

import asyncio
import json
import ssl
import wave
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from google.genai import errors
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosedError, InvalidStatus

from appliance.errors import InputError
from appliance.simulator.model.replies import Reply, ToolStep, load
from appliance.simulator.options import SimulatorOptions
from appliance.simulator.server import Simulator
from appliance.units import UPLINK
from tests.support.simulator import (
    AUTOMATIC,
    HASTY,
    connected,
    loud,
    quiet,
    said,
    speak,
    turn,
)
from tests.support.websocket import dial, talking, turn_complete

pytestmark = [
    pytest.mark.realtime,
    pytest.mark.filterwarnings("ignore::google.genai._common.ExperimentalWarning"),
]

LONG = Reply(said(5.0), text="a long story")


async def test_the_record_files_hold_what_was_received_sample_by_sample(options: SimulatorOptions, tmp_path: Path):
    spoken = np.concatenate([loud(0.2), quiet(0.2)])

    chosen = replace(options, record=tmp_path)
    async with Simulator(chosen) as simulator, connected(simulator, HASTY) as session:
        await speak(session, spoken)
        await turn(session)
    with wave.open(str(tmp_path / "session-1.wav")) as file:
        assert file.getframerate() == UPLINK.rate_hz
        assert np.array_equal(np.frombuffer(file.readframes(file.getnframes()), dtype="<i2"), spoken)
    facts = json.loads((tmp_path / "session-1.json").read_text())
    assert facts["received_samples"] == facts["kept_samples"] == len(spoken)
    assert facts["turns"][0]["sent_samples"] == len(load(options.replies[0]))
    assert facts["messages"][0] == {"at_s": pytest.approx(0.0, abs=0.1), "sender": "client", "kind": "setup"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ca.pem", "session-1.json", "session-1.wav"]


async def test_leaving_the_simulator_cuts_running_sessions_and_records_them(options: SimulatorOptions, tmp_path: Path):
    async with Simulator(replace(options, record=tmp_path, replies=(LONG,))) as simulator:
        session = connected(simulator, AUTOMATIC)
        live = await session.__aenter__()
        await live.send_realtime_input(text="hello")
        await anext(aiter(live.receive()))
    with pytest.raises(errors.APIError) as caught:
        await turn(live)
    await session.__aexit__(None, None, None)
    assert caught.value.code == 1006
    assert json.loads((tmp_path / "session-1.json").read_text())["close_code"] == 1006


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent", None),
        ("//ws/google.ai.generativelanguage.v1.GenerativeService.BidiGenerateContent", None),
        ("/ws/google.ai.generativelanguage.v2.GenerativeService.BidiGenerateContent", 404),
        ("/", 404),
    ],
)
async def test_a_path_is_the_services_or_404(options: SimulatorOptions, path: str, status: int | None):
    async with Simulator(options) as simulator:
        context = ssl.create_default_context(cafile=simulator.ca_file)
        address = simulator.base_url.replace("https", "wss") + path
        if status is None:
            headers = {"x-goog-api-key": "simulator"}
            async with connect(address, ssl=context, additional_headers=headers) as socket:
                await socket.send(
                    '{"setup": {"model": "models/any", "generation_config": {"response_modalities": ["AUDIO"]}}}'
                )
                assert await socket.recv() == b'{"setupComplete": {}}'
        else:
            with pytest.raises(InvalidStatus) as caught:
                await connect(address, ssl=context)
            assert caught.value.response.status_code == status


async def test_a_reason_that_is_no_unicode_is_made_to_fit_a_close_frame(options: SimulatorOptions):
    async with Simulator(options) as simulator, dial(simulator) as wire:
        await wire.send({"setup": {"model": "models/any", "\ud800" + "ü" * 100: 1}})
        with pytest.raises(ConnectionClosedError) as caught:
            await wire.receive()
        closed = caught.value.rcvd
    assert closed is not None
    assert closed.code == 1007
    assert 'Unknown name "?ü' in closed.reason


async def test_a_fault_ends_its_own_connection_with_1011_and_no_other(
    options: SimulatorOptions, caplog: pytest.LogCaptureFixture
):
    unspeakable = Reply(said(0.1), tool=ToolStep("look_up", {"what": b"cannot be JSON"}))

    async with (
        Simulator(replace(options, replies=(unspeakable,))) as simulator,
        talking(simulator) as other,
        talking(simulator) as wire,
    ):
        await wire.send({"realtimeInput": {"text": "hello"}})
        with pytest.raises(ConnectionClosedError) as caught:
            await wire.until(turn_complete)
        await (await other.connection.ping())
        closed = caught.value.rcvd
    assert closed is not None
    assert closed.code == 1011
    assert "a connection has failed: TypeError" in caplog.text
    assert "call_tools" in caplog.text
    assert "Object of type bytes" not in caplog.text


@pytest.mark.parametrize("garbage", [b"\x00" * 100, b"GET \r\n\r\n", b"POST / HTTP/9\r\n\r\n", b""])
async def test_what_is_no_http_is_hung_up_on(options: SimulatorOptions, garbage: bytes):
    async with Simulator(options) as simulator:
        context = ssl.create_default_context(cafile=simulator.ca_file)
        port = int(simulator.base_url.rpartition(":")[2])
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
        writer.write(garbage)
        if not garbage:
            writer.close()
        answer = await reader.read()
        writer.close()
        async with connected(simulator, AUTOMATIC):
            pass
    assert answer == b""


async def test_a_message_that_is_too_long_closes_with_1009(options: SimulatorOptions):
    async with Simulator(replace(options, max_message_bytes=1000)) as simulator:
        async with connected(simulator, AUTOMATIC) as session:
            await session.send_realtime_input(text="x" * 2000)
            with pytest.raises(errors.APIError) as caught:
                await turn(session)
        result = caught.value
    assert result.code == 1009


async def test_one_connection_too_many_is_cut_off(options: SimulatorOptions):
    async with Simulator(replace(options, max_connections=1)) as simulator, connected(simulator, AUTOMATIC):
        with pytest.raises(Exception) as caught:  # noqa: PT011  the SDK has many words for it
            async with connected(simulator, AUTOMATIC):
                pass
        result = caught.value
    assert not isinstance(result, AssertionError)


async def test_an_idle_connection_is_cut(options: SimulatorOptions):
    async with Simulator(replace(options, idle_s=0.05)) as simulator:
        with pytest.raises(errors.APIError) as caught:
            async with connected(simulator, AUTOMATIC) as session:
                await turn(session)
        result = caught.value
    assert result.code == 1006


async def test_a_simulator_without_a_place_for_its_certificate_does_not_start(tmp_path: Path):
    with pytest.raises(InputError, match="cannot write into"):
        async with Simulator(SimulatorOptions(directory=tmp_path / "absent")):
            pass


async def test_a_port_that_is_taken_is_named(options: SimulatorOptions):
    async with Simulator(options) as first:
        port = int(first.base_url.rpartition(":")[2])
        with pytest.raises(InputError, match="cannot listen on 127"):
            await Simulator(replace(options, port=port)).__aenter__()
