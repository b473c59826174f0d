"""A server is not given more than it can do at once, and those who only keep it waiting do not keep it from others."""

import asyncio
import errno
import socket
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
import trustme
import uvicorn

from appliance.provisioning.server.connection_limits import LONGEST_S, ConnectionLimits, Stage
from appliance.provisioning.server.paced_server import PacedServer
from tests.support.fleet import Line

pytestmark = pytest.mark.realtime
MAX_BUSY = 4
MOST = 12
NO_OTHER: Mapping[Stage, float] = {}
ASKERS = 40
REQUEST = b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"


class Slow:
    """An application that takes its time, and remembers how many it had to do with at once."""

    def __init__(self) -> None:
        self.now = 0
        self.most = 0

    async def __call__(self, scope, receive, send) -> None:
        self.now += 1
        self.most = max(self.most, self.now)
        await asyncio.sleep(0.02)
        self.now -= 1
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})


async def reads_all(scope, receive, send) -> None:
    """Answer once the request is whole."""
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body", "body": b""})


async def ask(url: str, trust: ssl.SSLContext) -> int:
    async with Line(url, trust) as line:
        return (await line.ask(REQUEST)).status


@dataclass
class Running:
    """A server in this process; its room holds few."""

    address: tuple[str, int]
    trust: ssl.SSLContext
    room: ConnectionLimits

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.address[1]}"

    async def half(self, words: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Say ``words`` over TLS, and no more."""
        reader, writer = await asyncio.open_connection(*self.address, ssl=self.trust)
        writer.write(words)
        return reader, writer

    async def until(self, stage: Stage, count: int = 1) -> None:
        """Wait until so many are at this stage."""
        while sum(peer.stage is stage for peer in self.room.connections()) != count:
            await asyncio.sleep(0.005)


@asynccontextmanager
async def running(
    home: Path, app=None, most: int = MOST, waits: Mapping[Stage, float] = NO_OTHER, listener=None, **more
) -> AsyncIterator[Running]:
    authority = trustme.CA()
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(home / "tls.pem"))
    trust = ssl.create_default_context(cadata=authority.cert_pem.bytes().decode())
    config = uvicorn.Config(app or Slow(), ssl_certfile=home / "tls.pem", lifespan="off", log_config=None)
    with listener or socket.create_server(("127.0.0.1", 0), backlog=ASKERS) as listening:
        room = ConnectionLimits(most, {**LONGEST_S, **waits})
        server = PacedServer(config, listening, limits=room, **more)
        async with asyncio.TaskGroup() as group:
            group.create_task(server.serve(sockets=[]))
            try:
                yield Running(listening.getsockname(), trust, room)
            finally:
                server.should_exit = True


async def test_those_that_are_too_many_wait_their_turn_and_are_served(tmp_path: Path):
    slow = Slow()

    waits = {Stage.READY: 60.0}
    async with running(tmp_path, slow, most=3 * ASKERS, waits=waits, max_busy=MAX_BUSY) as server:
        asked = await asyncio.gather(*(ask(server.url, server.trust) for _ in range(ASKERS)))
        # One that never says anything keeps nobody from leaving.
        silent, held = await asyncio.open_connection(*server.address)
    await silent.read()
    held.close()
    assert asked == [200] * ASKERS
    assert 1 < slow.most <= 2 * MAX_BUSY


@pytest.mark.parametrize(
    "words", [b"", b"GET / HTTP/1.1\r\nhost", b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\n1"]
)
async def test_those_who_keep_it_waiting_make_way(tmp_path: Path, words: bytes):
    async with running(tmp_path, reads_all) as server:
        halves = [await server.half(words) for _ in range(3 * MOST)]
        assert len(server.room) <= MOST // 2
        silent = [await asyncio.open_connection(*server.address) for _ in range(3 * MOST)]
        for _ in range(5):
            assert await ask(server.url, server.trust) == 200
            assert len(server.room) <= MOST
        for reader, writer in [*halves[:MOST], *silent[:MOST]]:
            with suppress(ConnectionError):
                assert await reader.read() == b""
            writer.close()
        for _, writer in [*halves, *silent]:
            writer.close()


async def trickle(writer: asyncio.StreamWriter) -> None:
    """Send a byte of a header that never ends, again and again."""
    with suppress(OSError):
        writer.write(b"GET / HTTP/1.1\r\nx: ")
        while not writer.is_closing():
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("asked_before", [False, True])
async def test_a_head_that_trickles_in_is_not_waited_for(tmp_path: Path, asked_before: bool):

    async with running(tmp_path, waits={Stage.REQUEST: 0.4}) as server, asyncio.timeout(5):
        reader, writer = await server.half(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n" if asked_before else b"")
        if asked_before:
            await reader.readuntil(b"\r\n\r\n")
            await server.until(Stage.IDLE)
        async with asyncio.TaskGroup() as group:
            group.create_task(trickle(writer))
            with suppress(ConnectionError):
                await reader.read()
            writer.close()


async def test_who_says_nothing_and_who_stops_in_the_handshake_are_not_waited_for(tmp_path: Path):

    async with running(tmp_path, waits={Stage.SILENT: 0.3, Stage.HANDSHAKE: 0.3}) as server, asyncio.timeout(5):
        for words in (b"", b"\x16\x03\x01\x02\x00\x01"):
            reader, writer = await asyncio.open_connection(*server.address)
            writer.write(words)
            with suppress(ConnectionError):
                await reader.read()
            writer.close()
        await server.until(Stage.HANDSHAKE, 0)


async def test_an_answer_that_nobody_reads_is_not_held_for_ever(tmp_path: Path):

    async def long(scope, receive, send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(1000):
            await send({"type": "http.response.body", "body": b"x" * 65536, "more_body": True})

    async with running(tmp_path, long, waits={Stage.WORK: 0.3}) as server, asyncio.timeout(5):
        _, writer = await server.half(REQUEST)
        await server.until(Stage.WORK)
        await server.until(Stage.WORK, 0)
        writer.close()


class Short(socket.socket):
    """A listener in a process that has no open file left, for a while."""

    failures = 3

    def accept(self):
        if self.failures:
            self.failures -= 1
            raise OSError(errno.EMFILE, "Too many open files")
        return super().accept()


async def test_with_too_many_open_files_it_goes_on_when_it_has_some_again(tmp_path: Path, caplog):
    listener = Short(socket.AF_INET, socket.SOCK_STREAM)
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    async with running(tmp_path, listener=listener) as server:
        assert await ask(server.url, server.trust) == 200
        assert listener.failures == 0
    assert "Too many open files" in caplog.text


async def test_the_newest_is_greeted_first_and_who_has_waited_too_long_is_closed(tmp_path: Path):
    """While all are busy; the device of the oldest has given up by the time that there is room."""
    busy = True

    async with (
        running(tmp_path, waits={Stage.READY: 0.3}, handshakes_allowed=lambda: 0 if busy else 9) as server,
        asyncio.timeout(5),
    ):
        old = asyncio.create_task(ask(server.url, server.trust))
        await server.until(Stage.READY)
        await server.until(Stage.READY, 0)
        with pytest.raises((OSError, EOFError)):
            await old
        new = asyncio.create_task(ask(server.url, server.trust))
        await server.until(Stage.READY)
        busy = False
        assert await new == 200
