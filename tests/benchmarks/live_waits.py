"""Waiting times of a household: for a dead address, until a fault is noticed, for the first sound of an answer."""

import asyncio
import os
import socket
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, Final

import numpy as np
from websockets.asyncio.server import ServerConnection

from appliance.audio.worker.messages import WorkerConfig
from appliance.audio.worker.supervisor import WorkerSupervisor
from appliance.config.load import load
from appliance.core.events import Unanswered
from appliance.core.state import Mode, State
from appliance.daemon import Appliance
from appliance.errors import LinkError
from appliance.live.gemini.connection import GeminiConnector
from appliance.live.ports import Request
from appliance.net.event_loop import HappyEyeballsLoop
from appliance.simulator.options import SimulatorOptions
from appliance.simulator.scenario.file import Scenario
from appliance.simulator.server import Simulator
from appliance.units import UPLINK
from appliance.virtual_card.card import VirtualCard
from tests.benchmarks.live_far_end import FarEnd
from tests.benchmarks.live_house import SILENT, House, any_token, mint, reach, until
from tests.support.live_service import live_service, set_up

LINKS: Final = 7
"""Opened for each median."""
ANSWERS: Final = 40
STALLS: Final = (0.4, 0.9, 1.3, 2.2)
"""Seconds of speech before the service stops reading."""
_DEAD: Final = "127.0.0.2"
_ALIVE: Final = "127.0.0.1"
_SMALL_BUFFER_BYTES: Final = 4096
"""For the kernel: what it takes beyond that, the service counts as read."""


# A dead address


class _TwoAddresses(asyncio.SelectorEventLoop):
    """Every name has two addresses, and the first one is dead."""

    addresses: tuple[str, ...] = (_DEAD, _ALIVE)

    async def getaddrinfo(self, host, port, **_):
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in self.addresses]


class _TwoAddressesOfOurs(HappyEyeballsLoop, _TwoAddresses):
    """The same with the daemon's loop."""


class _OneAddressOfOurs(_TwoAddressesOfOurs):
    """Only the one that is alive."""

    addresses = (_ALIVE,)


def dead_address_ms(service: FarEnd) -> tuple[float, float]:
    """Return what a first address that never answers adds to a link; and when asyncio's own loop gives up on it."""
    port = int(service.base_url.rpartition(":")[2])
    with _never_answering(port):
        dead, alive = (_link_ms(loop, service, LINKS) for loop in (_TwoAddressesOfOurs, _OneAddressOfOurs))
        return dead - alive, _link_ms(_TwoAddresses, service, 1)


@contextmanager
def _never_answering(port: int) -> Iterator[None]:
    """Let packets to `_DEAD` be ignored: a socket listens there, and its queue is full (listen(2))."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server((_DEAD, port), backlog=0))
        for _ in range(8):
            caller = stack.enter_context(socket.socket())
            caller.setblocking(False)
            caller.connect_ex((_DEAD, port))
        with socket.socket() as probe:
            probe.settimeout(0.5)
            if probe.connect_ex((_DEAD, port)) == 0:
                raise RuntimeError("the dead address answers")
        yield
        listener.close()


def _link_ms(loop: type[asyncio.SelectorEventLoop], service: FarEnd, count: int) -> float:
    """Return how long a link takes until it is open or has failed."""

    async def main() -> float:
        connector = GeminiConnector(load([], {"live": {"ca_file": str(service.ca_file)}}).settings.live, ())
        await connector.warm_up()
        token = await mint(service.base_url, service.ca_file)
        token = any_token(service.base_url.replace(_ALIVE, "localhost"), token.value)
        taken = []
        for _ in range(count):
            begun = time.monotonic()
            try:
                async with connector.open(token, Request(Mode.HANDS_FREE)):
                    taken.append(time.monotonic() - begun)
            except LinkError:
                taken.append(time.monotonic() - begun)
        return median(taken) * 1000

    with asyncio.Runner(loop_factory=loop) as runner:
        return runner.run(main())


# Faults


def stall_ms() -> list[float]:
    """Return when a service that has stopped reading was given up, while somebody speaks."""
    with asyncio.Runner(loop_factory=HappyEyeballsLoop) as runner:
        return runner.run(_all([partial(_stall, after_s) for after_s in STALLS]))


async def _all(trials: Sequence[Callable[[], Any]]) -> list[float]:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(trial()) for trial in trials]
    return [task.result() * 1000 for task in tasks]


async def _stall(after_s: float) -> float:
    loop = asyncio.get_running_loop()
    stopped: list[float] = []

    async def script(connection: ServerConnection) -> None:
        await set_up(connection)
        if not stopped:
            reading = loop.create_task(_read(connection))
            await asyncio.sleep(after_s)
            reading.cancel()
            connection.transport.set_read_buffer_limits(0)  # type: ignore[attr-defined]  # TLS would take 256 KiB more
            connection.transport.pause_reading()
            wire = connection.transport.get_extra_info("socket")
            wire.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _SMALL_BUFFER_BYTES)
            stopped.append(loop.time())
            await asyncio.sleep(6)
            connection.transport.abort()
        await connection.wait_closed()

    with tempfile.TemporaryDirectory() as folder:
        async with live_service(Path(folder), script) as service:
            house = House(any_token(service.base_url), service.ca_file)
            async with house.living() as appliance:
                await _ask(house, appliance, 20.0)
                await until(lambda: stopped and house.connector.left_at)
                return house.connector.left_at[0] - stopped[0]


async def _read(connection: ServerConnection) -> None:
    async for _ in connection:
        pass


SILENCES: Final = (
    {"on": "turn:1", "do": "ignore_turn"},
    {"on": "turn:1", "do": "no_reply"},
    {"on": "speech:1", "after_s": 0.5, "do": "stop_sending"},
    {"on": "ready", "after_s": 0.05, "do": "stop_sending"},
    {"on": "turn:1", "do": "stop_sending"},
)
"""Ways in which a service says nothing after the person has stopped."""


def silence_ms() -> list[float]:
    """Return when a service that says nothing was asked again, since the end of what the person said."""
    with asyncio.Runner(loop_factory=HappyEyeballsLoop) as runner:
        return runner.run(_all([partial(_silence, step) for step in SILENCES]))


async def _silence(step: dict[str, Any]) -> float:
    loop = asyncio.get_running_loop()
    scenario = Scenario.model_validate({"description": "Says nothing.", "step": [step]})
    async with Simulator(SimulatorOptions(scenarios=(scenario,))) as simulator:
        house = House(await mint(simulator.base_url, simulator.ca_file), simulator.ca_file)
        async with house.living() as appliance:
            end = await _ask(house, appliance, 2.0)
            await until(lambda: house.room.next >= end)
            stopped_at = loop.time() - UPLINK.duration(house.room.next - end)
            await until(lambda: house.at(Unanswered))
            return (house.at(Unanswered) or 0.0) - stopped_at


async def _ask(house: House, appliance: Appliance, seconds: float) -> int:
    """Say the wake word and speak; return where in the microphone's stream that ends."""
    await reach(appliance, State.IDLE)
    house.room.call()
    house.room.speak(seconds, after_s=0.3)
    return house.room.next + UPLINK.frames(0.3 + seconds)


# The first sound


def first_chunk_ms(service: FarEnd) -> list[float]:
    """Return when the first sound of each answer was at the speaker, since the message with it was sent."""
    with tempfile.TemporaryDirectory() as folder:
        card = VirtualCard(Path(folder))
        os.environ.update(card.environment)
        try:
            with asyncio.Runner(loop_factory=HappyEyeballsLoop) as runner:
                return runner.run(_first_chunks(service, card))
        finally:
            card.close()


async def _first_chunks(service: FarEnd, card: VirtualCard) -> list[float]:
    engine = WorkerSupervisor(WorkerConfig(None, "virtual_speaker"))
    house = House(any_token(service.base_url), service.ca_file, SILENT, engine=engine)
    taken = []
    async with house.living() as appliance:
        await reach(appliance, State.IDLE)
        for _ in range(ANSWERS):
            refused = appliance.send_text("Go on.")
            if refused is not None:
                raise RuntimeError(refused)
            await reach(appliance, State.SPEAKING)
            await reach(appliance, State.LISTENING)
            taken.append(_first_sound(card, float(service.told.readline())) * 1000)
    return taken


def _first_sound(card: VirtualCard, since: float) -> float:
    """Return how long after a moment the speaker made a sound, in seconds."""
    start = card.speaker.frame(since)
    loud = np.flatnonzero(card.speaker.played(start, card.speaker.now))
    return card.speaker.time_of(start + int(loud[0])) - since
