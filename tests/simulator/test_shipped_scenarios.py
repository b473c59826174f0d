"""The shipped scenarios that end, refuse or starve a connection do on the wire what they say."""

import asyncio
import contextlib
import re
import socket
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from appliance.simulator.scenario.file import load, shipped
from tests.support.simulator import loud, quiet
from tests.support.websocket import (
    QUESTION,
    SCALE,
    Wire,
    audio,
    content,
    dial,
    handles,
    setup,
    simulator,
    talking,
    turn_complete,
)

pytestmark = pytest.mark.realtime

CLOSED_AT_SETUP = {
    "quota_at_setup": (1011, "exceeded your current quota"),
    "token_refused": (1008, "authentication credentials"),
    "token_spent": (1011, "used too many times"),
    "setup_refused": (1007, "invalid argument"),
    "model_unknown": (1008, "model is not found"),
}
CLOSED_LATER = {
    "close_1000": (1000, ""),
    "close_1001": (1001, "going away"),
    "close_1007": (1007, "invalid argument"),
    "close_1008": (1008, "not implemented"),
    "close_1011": (1011, "Internal error"),
    "close_1012": (1012, ""),
    "close_1013": (1013, "unavailable"),
    "close_4000": (4000, ""),
    "quota_mid_session": (1011, "exceeded your current quota"),
    "token_expired": (1011, "token has expired"),
    "close_in_tool_call": (1008, "not implemented"),
    "drop_while_idle": (1006, ""),
    "drop_while_speaking": (1006, ""),
    "drop_mid_reply": (1006, ""),
    "drop_in_tool_call": (1006, ""),
    "half_message": (1006, ""),
    "half_close": (1006, ""),
    "not_resumable": (1006, ""),
    "handle_while_speaking": (1006, ""),
}
REFUSED = {f"http_{status}": status for status in (400, 401, 403, 404, 429, 500, 503)}


def test_every_shipped_scenario_is_tested_on_the_wire():
    text = "".join(path.read_text() for path in Path(__file__).parent.glob("test_shipped_*.py"))
    assert {name for name in shipped() if f'"{name}"' not in text and name not in REFUSED} == set()


def test_a_shipped_scenario_is_short_and_says_in_a_sentence_what_it_does():
    for name in shipped():
        scenario = load(name)
        assert re.fullmatch(r"[A-Z].*\.", scenario.description)
        assert len(scenario.step) <= 4


async def closing(wire: Wire) -> tuple[int, str]:
    """Wait for the end of the connection; return its close code and reason."""
    try:
        while True:
            await wire.connection.recv()
    except ConnectionClosed as error:
        return (error.rcvd.code, error.rcvd.reason) if error.rcvd else (1006, "")


@pytest.mark.parametrize(("name", "code", "reason"), [(name, *ending) for name, ending in CLOSED_AT_SETUP.items()])
async def test_a_set_up_can_be_answered_by_the_end(name: str, code: int, reason: str):
    async with simulator(name) as running, dial(running) as wire:
        await wire.send(setup())
        (found, why), sessions = await closing(wire), running.sessions
    assert found == code
    assert reason in why
    assert sessions == []


@pytest.mark.parametrize(("name", "code", "reason"), [(name, *ending) for name, ending in CLOSED_LATER.items()])
async def test_a_session_can_end_in_every_way_and_the_next_connection_is_well(name: str, code: int, reason: str):
    async with simulator(name) as running:
        async with talking(running) as wire:
            await wire.send(audio(loud(0.2)))
            if name != "half_close":
                await wire.send(audio(quiet(0.2)))
            ending = await closing(wire)
        async with talking(running) as wire:
            await wire.send(QUESTION)
            await wire.until(lambda message: "generationComplete" in content(message))
        (found, why), sessions = ending, running.sessions
    assert found == code
    assert reason in why
    assert sessions[0].close_code == code


@pytest.mark.parametrize(("name", "status"), REFUSED.items())
async def test_a_connection_can_be_refused_with_every_status(name: str, status: int):
    async with simulator(name) as running:
        with pytest.raises(InvalidStatus) as caught:
            async with dial(running):
                pass
        result = caught.value.response.status_code
    assert result == status


async def test_an_outage_lasts_for_three_connections():
    seen = []
    async with simulator("outage") as running:
        for _ in range(3):
            with pytest.raises(InvalidStatus) as caught:
                async with dial(running):
                    pass
            seen.append(caught.value.response.status_code)
        async with talking(running):
            pass
    assert seen == [503, 503, 503]


async def _ping_until_silence(wire: Wire) -> None:
    """Raise TimeoutError at the first ping without a pong: the reply in which a service falls silent may be late."""
    while True:
        pong = await wire.connection.ping()
        await asyncio.wait_for(pong, 0.3)
        await asyncio.sleep(0.1)


@pytest.mark.parametrize("name", ["mute_service", "half_open"])
async def test_the_service_can_fall_silent_without_an_end(name: str):
    async with simulator(name) as running, talking(running) as wire:
        await wire.send(QUESTION)
        messages = await wire.until_quiet()
        with pytest.raises(TimeoutError):
            await _ping_until_silence(wire)
        received = running.sessions[0].received_samples
    assert not any(turn_complete(message) for message in messages)
    assert received > 0


async def test_a_black_hole_takes_the_connection_and_answers_nothing():
    async with simulator("black_hole") as running:
        with pytest.raises(TimeoutError):
            async with dial(running, open_timeout=1.5):  # it is the first to come, on a busy machine too
                pass
        async with talking(running):
            pass


async def test_a_stalled_uplink_takes_nothing_more():
    async with simulator("stalled_uplink") as running, dial(running, write_limit=1024) as wire:
        raw = wire.connection.transport.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16384)
        await wire.send(setup())
        await wire.until(lambda message: "setupComplete" in message)
        await wire.send(audio(loud(0.2)))
        await asyncio.sleep(0.05)
        received = running.sessions[0].received_samples
        many = [audio(loud(1.0))] * 200
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(wire.send(*many), 0.3)
        wire.connection.transport.abort()
        before, after = received, running.sessions[0].received_samples
    assert before == after == len(loud(0.2))


@pytest.mark.parametrize(("name", "holds"), [("setup_ignored", False), ("setup_slow", True)])
async def test_a_set_up_can_be_answered_late_or_never(name: str, holds: bool):
    async with simulator(name) as running, dial(running) as wire:
        loop = asyncio.get_running_loop()
        began = loop.time()
        await wire.send(setup())
        with contextlib.suppress(TimeoutError):
            await wire.receive(5.0 if holds else 0.2)
        messages, waited = wire.messages, loop.time() - began
    assert messages == ([{"setupComplete": {}}] if holds else [])
    assert waited >= (5 * SCALE if holds else 0.2)


async def test_another_message_can_come_before_the_answer_to_the_set_up():
    async with simulator("setup_out_of_order") as running, dial(running) as wire:
        await wire.send(setup())
        result = [await wire.receive(), await wire.receive()]
    assert result == [{"sessionResumptionUpdate": {"resumable": False}}, {"setupComplete": {}}]


async def test_pongs_can_be_late_on_a_connection_that_is_well():
    async with simulator("slow_pongs") as running, talking(running) as wire:
        latency = await (await wire.connection.ping())
        await wire.send(QUESTION)
        await wire.until(turn_complete)
    assert latency >= 25 * SCALE


@pytest.mark.parametrize(
    ("name", "time_left", "code"),
    [
        ("go_away", "0.2s", 1011),
        ("go_away_mid_reply", "0.06s", 1011),
        ("go_away_while_speaking", "0.1s", 1011),
        ("go_away_then_silence", "0.2s", 1006),
        ("go_away_without_time", "0s", 1011),
        ("short_lived", "0.1s", 1011),
    ],
)
async def test_the_end_can_be_announced_at_any_moment(name: str, time_left: str, code: int):
    async with simulator(name) as running, talking(running) as wire:
        await wire.send(QUESTION)
        told = await wire.until(lambda message: "goAway" in message)
        found, _ = await closing(wire)
    assert told["goAway"]["timeLeft"] == time_left
    assert found == code


async def offered(wire: Wire) -> str:
    await wire.send(QUESTION)
    await wire.until(lambda message: handles([message]))
    return handles(wire.messages)[0]


async def test_a_slow_close_keeps_the_session_until_it_is_over():
    async with simulator("slow_close") as running, talking(running) as old:
        handle = await offered(old)
        async with dial(running) as early:  # before the close begins: its handshake may be as slow
            leaving = asyncio.create_task(old.connection.close())
            await early.send(setup(handle))
            refused = await closing(early)
        await asyncio.sleep(2.2 * SCALE)
        await leaving
        async with talking(running, handle):
            (code, _), resumed = refused, [record.resumed for record in running.sessions]
    assert code == 1011
    assert resumed == [False, True]


@pytest.mark.parametrize(
    ("name", "resumable"), [("handles_forgotten", False), ("zombie", True), ("drop_mid_reply", True)]
)
async def test_after_a_drop_the_handle_is_good_unless_it_is_forgotten(name: str, resumable: bool):
    async with simulator("healthy" if name == "drop_mid_reply" else name) as running:
        async with talking(running) as wire:
            handle = await offered(wire)
            if name != "drop_mid_reply":
                await closing(wire)
        async with dial(running) as again:
            await again.send(setup(handle))
            if resumable:
                await again.send(QUESTION)
                messages = await again.until_quiet()
            else:
                assert (await closing(again))[0] == 1007
    if name == "zombie":
        assert any("inputTranscription" in content(message) for message in messages)
        assert not any(turn_complete(message) for message in messages)


async def test_a_session_can_be_without_handles():
    async with simulator("not_resumable") as running, talking(running) as wire:
        await wire.send(QUESTION)
        await closing(wire)
        result = [one.kind for one in running.sessions[0].messages if "Resumption" in one.kind]
    assert result == ["sessionResumptionUpdate.resumable"] * 2
