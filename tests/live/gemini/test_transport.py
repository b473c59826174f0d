"""Data waiting in a connection is bounded, and its amount known."""

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator
from typing import cast

import pytest
from google.genai.live import AsyncSession
from websockets.asyncio.server import ServerConnection

from appliance.core.state import Mode
from appliance.errors import LinkError
from appliance.live.gemini.connection import GeminiConnection
from appliance.live.gemini.transport import SEND_BUFFER_BYTES, USER_TIMEOUT_MS, ConnectionMonitor
from appliance.live.model_capabilities import capabilities
from appliance.live.ports import Request
from tests.support.live_service import live_service, set_up

pytestmark = pytest.mark.realtime

CHUNK = bytes(1280)
"""40 ms."""


async def test_bytes_that_arrive_are_not_queued(tmp_path):
    async def script(connection: ServerConnection) -> None:
        await set_up(connection)
        async for _ in connection:
            pass

    async with (
        live_service(tmp_path, script) as service,
        service.connector().open(service.token(), Request(Mode.HANDS_FREE)) as link,
    ):
        before = link.traffic()
        assert before is not None
        for _ in range(10):
            await link.send_audio(CHUNK)
        deadline = time.monotonic() + 5
        while (now := link.traffic()) is not None and now.queued and time.monotonic() < deadline:
            await asyncio.sleep(0.01)
        assert now is not None
        assert now.queued == 0
        assert now.written - before.written > 10 * len(CHUNK)


async def test_a_service_that_stops_reading_is_seen_in_the_queue_and_holds_up_the_sender(tmp_path):
    reading = asyncio.Event()

    async def script(connection: ServerConnection) -> None:
        await set_up(connection)
        connection.transport.pause_reading()
        await reading.wait()

    taken = 0

    async def fill(link) -> None:
        nonlocal taken
        while True:
            await link.send_audio(CHUNK)
            taken += 1

    async with (
        live_service(tmp_path, script) as service,
        service.connector().open(service.token(), Request(Mode.HANDS_FREE)) as link,
    ):
        filling = asyncio.get_running_loop().create_task(fill(link))
        deadline = time.monotonic() + 10
        first, second = None, link.traffic()
        while first != second and time.monotonic() < deadline:
            await asyncio.sleep(0.3)
            first, second = second, link.traffic()
        filling.cancel()
        await asyncio.wait([filling])
        reading.set()
        assert second is not None
        assert first == second, "nothing leaves, and nothing more is taken"
        assert 0 < second.queued < 512 * 1024
        assert second.written > taken * len(CHUNK) * 4 / 3, "what waits beneath TLS counts"


async def test_the_socket_has_the_bounds(tmp_path):
    wires = ConnectionMonitor()
    assert wires.traffic() is None
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
    _, writer = await asyncio.open_connection("127.0.0.1", server.sockets[0].getsockname()[1])
    transport = writer.transport
    assert isinstance(transport, asyncio.Transport)
    wires.made(transport)
    wire = transport.get_extra_info("socket")
    assert wire.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) == 2 * SEND_BUFFER_BYTES
    assert wire.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == USER_TIMEOUT_MS
    assert wires.traffic() is not None
    writer.close()
    assert wires.traffic() is None
    await writer.wait_closed()
    wires.lost(transport)
    server.close()
    await server.wait_closed()


class NoSession:
    """The SDK's, where a connection takes what it is given."""

    async def send_realtime_input(self, **_: object) -> None:
        pass


@contextlib.asynccontextmanager
async def connections(number: int) -> AsyncIterator[list[asyncio.Transport]]:
    """Open ``number`` connections to a server that reads; abort them in the end."""
    writers: list[asyncio.StreamWriter] = []
    server = await asyncio.start_server(lambda _, writer: writers.append(writer), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    loop = asyncio.get_running_loop()
    transports = [(await loop.create_connection(asyncio.Protocol, "127.0.0.1", port))[0] for _ in range(number)]
    while len(writers) < number:
        await asyncio.sleep(0.01)
    yield transports
    for transport in (*transports, *(writer.transport for writer in writers)):
        transport.abort()
    server.close()
    await server.wait_closed()
    await asyncio.sleep(0)


async def test_what_a_connection_takes_that_is_broken_has_not_arrived():
    """A transport that has just failed drops data silently."""

    async with connections(1) as (transport,):
        wires = ConnectionMonitor()
        wires.made(transport)
        link = GeminiConnection(cast("AsyncSession", NoSession()), wires, capabilities("gemini-3.8-live"))
        transport.abort()
        await link.send_audio(CHUNK)
        wires.lost(transport)
        assert link.undelivered() == len(CHUNK) // 2


async def test_the_end_of_a_connection_that_was_followed_by_another_takes_nothing_from_that():
    """As where the service redirects."""

    async with connections(2) as (first, second):
        wires = ConnectionMonitor()
        wires.made(first)
        wires.made(second)
        wires.lost(first)
        before = wires.acknowledged()
        assert before is not None
        second.write(CHUNK)
        while wires.acknowledged() == before:
            await asyncio.sleep(0.01)
        wires.lost(second)
        assert wires.acknowledged() == before + len(CHUNK)


async def test_a_link_that_is_gone_tells_nothing(tmp_path):
    async def script(connection: ServerConnection) -> None:
        await set_up(connection)
        connection.transport.abort()

    async with (
        live_service(tmp_path, script) as service,
        service.connector().open(service.token(), Request(Mode.HANDS_FREE)) as link,
    ):
        with pytest.raises(LinkError):
            async for _ in link.messages():
                pass
        assert link.traffic() is None


async def test_what_a_connection_had_not_delivered_is_known_when_it_is_lost(tmp_path):
    """The service reads so much, then nothing more, and is gone without a word."""
    read = asyncio.Event()
    full = asyncio.Event()

    async def script(connection: ServerConnection) -> None:
        await set_up(connection)
        for _ in range(10):
            await connection.recv()
        read.set()
        connection.transport.pause_reading()
        await full.wait()
        connection.transport.abort()

    async with (
        live_service(tmp_path, script) as service,
        service.connector().open(service.token(), Request(Mode.HANDS_FREE)) as link,
    ):
        for _ in range(10):
            await link.send_audio(CHUNK)
        await read.wait()
        while link.undelivered():
            await asyncio.sleep(0.01)
        sent = 0
        with contextlib.suppress(TimeoutError):
            while True:
                async with asyncio.timeout(0.3):
                    await link.send_audio(CHUNK)
                sent += 640
        waiting = link.undelivered()
        assert 0 < waiting < sent, "some of it is with the service's kernel, some waits"
        full.set()
        with pytest.raises(LinkError):
            async for _ in link.messages():
                pass
        assert link.undelivered() == waiting
