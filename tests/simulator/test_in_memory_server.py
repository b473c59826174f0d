"""The service without sockets, in virtual time: connections, resumption, scenarios, hours of it."""

import asyncio
from contextlib import suppress

import numpy as np
import pytest

from appliance.simulator.in_memory_server import (
    ConnectionEndedError,
    SimulatedService,
    SimulatedSession,
    UpgradeRefusedError,
)
from appliance.simulator.options import SimulatorOptions
from appliance.simulator.ports import Caller
from appliance.simulator.scenario.file import Scenario, load, parse
from tests.simulator.inmemory import (
    END,
    LONG,
    PRESSED,
    SETUP,
    SHORT,
    START,
    TEXT,
    TOOLED,
    YES,
    Message,
    ending,
    service,
    until,
)
from tests.support.simulator import loud, quiet
from tests.support.websocket import QUESTION, audio, handles, heard, result


async def test_a_question_is_answered_as_on_the_wire():
    async with service() as running, running.open(SETUP) as session:
        messages, samples = await session.exchange(QUESTION), running.sessions[0].samples()
    assert np.array_equal(heard(messages), YES)
    assert len(samples) == len(loud(0.2)) + len(quiet(0.2))


async def test_the_audio_of_a_session_is_whole_over_all_its_connections():
    """No sample lost or doubled: what was sent on each connection is one stream."""
    spoken = np.concatenate([loud(0.3, seed=seed) for seed in range(40, 44)])
    first, second, third, fourth = (audio(part) for part in np.split(spoken, 4))

    async with service() as running:
        handle = None
        for parts in ([first], [second, third], [fourth]):
            async with running.open({**PRESSED, "sessionResumption": {"handle": handle}}) as session:
                await session.send(START)
                for part in parts:
                    await session.send(part)
                await session.send(END)
                await until(session, "turnComplete")
                handle = handles([await session.receive()])[0]
                await session.close()
        received, numbers = running.received(1), [(one.number, one.session) for one in running.sessions]
    assert np.array_equal(received, spoken)
    assert numbers == [(1, 1), (2, 1), (3, 1)]


async def test_a_session_that_is_resumed_forgets_what_came_after_its_handle():
    spoken = np.concatenate([loud(0.3, seed=seed) for seed in range(40, 43)])
    first, second, third = (audio(part) for part in np.split(spoken, 3))

    async with service(SHORT, scenario="handle_while_speaking") as running:
        async with running.open(SETUP) as session:
            await session.send(first)
            handle = handles(await until(session, "sessionResumptionUpdate"))[0]
            await session.send(second)
            with pytest.raises(ConnectionEndedError):
                await until(session, "turnComplete")
        async with running.open(resuming(handle)) as session:
            await session.send(third)
            await session.close()
        result = running.received(1)
    assert np.array_equal(result, np.concatenate([spoken[:4800], spoken[9600:]]))


async def remembered(running: SimulatedService, session: SimulatedSession) -> str:
    """A handle, after a turn."""
    await session.send(TEXT)
    while not (known := handles(await until(session, "sessionResumptionUpdate"))):
        pass
    return known[0]


def resuming(handle: str) -> Message:
    return {**SETUP, "sessionResumption": {"handle": handle}}


@pytest.mark.parametrize(("allowed", "code"), [(False, 1011), (True, None)])
async def test_a_session_is_resumed_when_its_old_connection_is_closed(allowed: bool, code: int | None):
    async with service(allow_overlap=allowed) as running, running.open(SETUP) as old:
        handle = await remembered(running, old)
        try:
            async with running.open(resuming(handle)):
                early = None
        except ConnectionEndedError as error:
            early = error.code
        await old.close()
        async with running.open(resuming(handle)) as new:
            await new.exchange(TEXT)
    assert early == code


@pytest.mark.parametrize(("hours", "good"), [(1.9, True), (2.1, False)])
async def test_a_handle_is_good_for_two_hours_after_the_last_connection(hours: float, good: bool):
    async with service(idle_s=1e6) as running:
        async with running.open(SETUP) as session:
            handle = await remembered(running, session)
            await asyncio.sleep(3 * 3600)
            await session.close()
        await asyncio.sleep(hours * 3600)
        async with running.connect() as again:
            await again.send({"setup": resuming(handle)})
            if good:
                assert await again.receive() == {"setupComplete": {}}
            else:
                assert (await ending(again))[0] == 1007


async def test_a_token_and_a_refusal_are_as_on_the_wire():
    async with service(scenario="http_429") as running:
        with pytest.raises(UpgradeRefusedError) as refused:
            async with running.open(SETUP):
                pass
        name = running.mint(uses=1)
        caller = Caller(constrained=True, version="v1alpha", credential=name)
        assert name not in repr(caller)
        async with running.open(SETUP, caller):
            pass
        async with running.connect(caller) as again:
            await again.send({"setup": SETUP})
            status, (code, reason) = refused.value.status, await ending(again)
    assert (status, code) == (429, 1011)
    assert "too many times" in reason


@pytest.mark.parametrize(
    ("scenario", "waited"), [("slow_pongs", 25.0), ("stalled_uplink", None), ("half_open", None), ("half_close", None)]
)
async def test_a_pong_is_late_or_never_comes(scenario: str, waited: float | None):
    async with service(LONG, scenario=scenario) as running, running.open(SETUP) as session:
        loop = asyncio.get_running_loop()
        await session.send(QUESTION)
        await asyncio.sleep(10)
        began = loop.time()
        took = None
        with suppress(TimeoutError, ConnectionEndedError):
            async with asyncio.timeout(60):
                await session.ping()
            took = loop.time() - began
    assert took == waited


async def test_a_client_that_outruns_a_deaf_service_waits():
    async with service(scenario="stalled_uplink") as running, running.open(SETUP) as session:
        await session.send(audio(loud(0.2)))
        await asyncio.sleep(1)
        sent = 0
        try:
            async with asyncio.timeout(60):
                while True:
                    await session.send(audio(quiet(0.02)))
                    sent += 1
        except TimeoutError:
            result = sent, running.sessions[0].received_samples
    assert result == (256, len(loud(0.2)))


async def test_the_first_scenario_is_for_the_first_connection_and_the_last_for_all_others():
    scenarios = tuple(load(name) for name in ("http_503", "healthy", "http_429"))

    seen = []
    async with SimulatedService(SimulatorOptions(replies=(SHORT,), scenarios=scenarios)) as running:
        for _ in range(4):
            try:
                async with running.open(SETUP):
                    seen.append(200)
            except UpgradeRefusedError as error:
                seen.append(error.status)
    assert seen == [503, 200, 429, 200]


async def test_a_step_waits_for_the_nth_time_and_then_for_its_delay():
    scenario = parse(
        """
        description = "Announces the end after the second turn."
        [[step]]
        on = "turn_end:2"
        after_s = 7
        do = "go_away"
        time_left_s = 3.5
        """,
        "test",
    )

    loop = asyncio.get_running_loop()
    options = SimulatorOptions(replies=(SHORT,), scenarios=(scenario,))
    async with SimulatedService(options) as running, running.open(SETUP) as session:
        await session.exchange(TEXT)
        await session.exchange(TEXT)
        began = loop.time()
        told = (await until(session, "goAway"))[-1]
        announced = loop.time() - began
        (code, _), ended = await ending(session), loop.time() - began
    assert told == {"goAway": {"timeLeft": "3.5s"}}
    assert announced == pytest.approx(7.0)
    assert code == 1011
    assert ended == pytest.approx(10.5)


async def _household(running: SimulatedService) -> None:
    """A client that asks and comes back, whatever is done to it."""
    handle: str | None = None
    for _ in range(4):
        chosen = {**SETUP, "sessionResumption": {"handle": handle} if handle else {}}
        try:
            async with asyncio.timeout(120), running.open(chosen) as session:
                for _ in range(4):
                    await session.send(QUESTION)
                    async with asyncio.timeout(20):
                        messages = await until(session, "turnComplete")
                    called = [call for one in messages for call in one.get("toolCall", {}).get("functionCalls", [])]
                    for call in called:
                        if "id" in call:
                            await session.send(result(call))
                    handle = [handle, *handles(messages)][-1]
                await session.close()
        except (ConnectionEndedError, UpgradeRefusedError, TimeoutError, ValueError, AttributeError, TypeError):
            handle = None


@pytest.mark.parametrize("first", [0, *(pytest.param(first, marks=pytest.mark.slow) for first in range(30, 120, 30))])
async def test_no_random_scenario_breaks_the_service_itself(first: int):
    for seed in range(first, first + 30):
        chosen = SimulatorOptions(replies=(SHORT, TOOLED), scenarios=(Scenario.random(seed),), idle_s=60.0)
        async with SimulatedService(chosen) as running:
            await _household(running)
            sessions = running.sessions
        assert all(record.close_code is not None for record in sessions)


def test_a_random_scenario_is_the_same_for_the_same_seed():
    assert Scenario.random(7) == Scenario.random(7)
    assert len({Scenario.random(seed).model_dump_json() for seed in range(50)}) == 50
