"""Takes connections in: all at once while they cost nothing, then no faster than they are served.

A connection that says nothing has no handshake, and costs a file descriptor. Those that have spoken have theirs in the
order of their coming, and the newest first once the oldest has waited for long: that one has given up, or will
before it has an answer. Without this, a fleet that comes back at once is served in the order of its coming, and always
too late.
"""

import asyncio
import logging
import socket
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, Final, NoReturn

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from appliance.clock import loop_time
from appliance.provisioning.server.connection_limits import (
    ARRIVAL,
    ConnectionLimits,
    Peer,
    RequestArrival,
    Stage,
    origin_of,
)

MAX_BUSY: Final = 128
"""Handshakes and requests under way, about; while there are as many, no handshake is begun."""
BRISK_S: Final = 0.05
"""Who takes longer from the handshake to a whole request keeps nobody else from theirs."""
LATE_S: Final = 0.5
"""While nobody has waited longer for a handshake, they have theirs in the order of their coming."""
PAUSE_S: Final = 0.01
"""How often to look whether there is room again."""
SWEEP_S: Final = 0.25
"""How often to look for connections that take too long."""
AT_ONCE: Final = 64
"""Connections that are taken in before anything else is done."""
HANDSHAKE_S: Final = 60.0
"""Longer than the room waits for one: the library has to have a bound of its own."""
CLOSE_S: Final = 1.0
"""The longest wait for the other side's end of a TLS connection that is closed."""
_TO_COME: Final = frozenset({Stage.HANDSHAKE, Stage.REQUEST})
_log = logging.getLogger(__name__)


class HttpConnection(H11Protocol):
    """Tells the room its stage, and the application when a request came and whether its sender has gone."""

    def __init__(self, peer: Peer, room: ConnectionLimits, **given: Any) -> None:  # noqa: ANN401  uvicorn's
        super().__init__(**given)
        self._peer = peer
        self._room = room
        self._has_begun = False
        """Whether a request has come, in part at least."""
        self._begin_arrival(peer.came_at)

    def connection_made(self, transport: Any) -> None:  # noqa: ANN401  asyncio's, TLS or not
        """Expect a request."""
        self._peer.sever = transport.abort
        super().connection_made(transport)
        self._room.move(self._peer, Stage.REQUEST, self.loop.time())

    def connection_lost(self, exc: Exception | None) -> None:
        """Leave."""
        self._arrival.is_gone = True
        self._room.remove(self._peer)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take in a part of a request."""
        if not self._has_begun:
            self._has_begun = True
            now = self.loop.time()
            self._begin_arrival(now - self._peer.waited_s)
            self._peer.waited_s = 0.0
            if self._peer.stage is Stage.IDLE:
                self._room.move(self._peer, Stage.REQUEST, now)
        super().data_received(data)
        self._note_work()

    def on_response_complete(self) -> None:
        """Have an answer behind us; the next request may have come by now."""
        now = self.loop.time()
        self._room.move(self._peer, Stage.IDLE, now)
        self._has_begun = False
        self._begin_arrival(now)
        super().on_response_complete()
        self._note_work()

    def _begin_arrival(self, came_at: float) -> None:
        self._arrival = RequestArrival(came_at)
        self.app_state = {**self.app_state, ARRIVAL: self._arrival}

    def _note_work(self) -> None:
        cycle = self.cycle
        if cycle is not None and not cycle.response_complete and not cycle.more_body:
            self._room.move(self._peer, Stage.WORK, self.loop.time())


class PacedServer(uvicorn.Server):
    """Serves what comes to ``listener``, which listens already; `serve` and `run` are to have no other sockets.

    Args:
        config: uvicorn's; HTTP is spoken by `HttpConnection` whatever it says.
        listener: Where connections come from; closed at the end.
        max_busy: While as many handshakes and requests are under way, no handshake is begun.
        room: Where connections are counted.
        line_room: Says how many more requests there may be; without it, as many as ``max_busy`` allows.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        listener: socket.socket,
        max_busy: int = MAX_BUSY,
        room: ConnectionLimits | None = None,
        line_room: Callable[[], int] | None = None,
    ) -> None:
        super().__init__(config)
        self._listener = listener
        self._max_busy = max_busy
        self._room = ConnectionLimits() if room is None else room
        self._line_room = line_room or (lambda: max_busy)
        self._ready: deque[tuple[Peer, socket.socket]] = deque()
        """Those that have spoken, the newest last; bounded by the room."""
        self._spoken = asyncio.Event()
        self._brisk: deque[Peer] = deque()
        """Handshakes in the order in which they were begun; bounded by the room."""
        listener.settimeout(0)

    async def main_loop(self) -> None:
        """Take connections in until the server is told to end."""
        async with asyncio.TaskGroup() as group:
            doors = [group.create_task(self._greet_all()), group.create_task(self._sweep())]
            self._open()
            try:
                await super().main_loop()
            finally:
                asyncio.get_running_loop().remove_reader(self._listener)
                for door in doors:
                    door.cancel()
        for peer in self._room.everybody():
            if peer.stage in {Stage.SILENT, Stage.READY}:
                peer.sever()
        self._listener.close()

    def _open(self) -> None:
        asyncio.get_running_loop().add_reader(self._listener, self._take_in)

    def _take_in(self) -> None:
        """Take in who waits in the kernel; called whenever somebody does."""
        for _ in range(AT_ONCE):
            try:
                connection, address = self._listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:  # as a rule: too many open files
                _log.warning("a connection cannot be taken in: %s", error.strerror)
                self._rest()
                return
            self._seat(connection, origin_of(address[0]))
            if len(self._room) >= self._room.most and self._room.longest_waiting(loop_time()) is None:
                self._rest()
                return

    def _rest(self) -> None:
        """Take nobody in for a moment: those who come wait in the kernel."""
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._listener)
        if longest := self._room.longest_waiting(loop.time()):
            self._room.sever(longest)
        loop.call_later(PAUSE_S, self._reopen)

    def _reopen(self) -> None:
        if self._listener.fileno() >= 0 and not self.should_exit:
            self._open()

    def _seat(self, connection: socket.socket, origin: str) -> None:
        """Wait for the first word of a connection."""
        loop = asyncio.get_running_loop()
        if leaving := self._room.one_too_many(origin, loop.time()):
            self._room.sever(leaving)
        connection.settimeout(0)
        with suppress(OSError):
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        peer = Peer(origin, loop.time(), lambda: None)
        peer.sever = partial(self._drop, peer, connection)
        self._room.add(peer)
        loop.add_reader(connection, self._hear, peer, connection)

    def _hear(self, peer: Peer, connection: socket.socket) -> None:
        """Put a connection that has spoken in line."""
        loop = asyncio.get_running_loop()
        try:
            is_closed = not connection.recv(1, socket.MSG_PEEK)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            is_closed = True
        if is_closed:
            self._drop(peer, connection)
            return
        loop.remove_reader(connection)
        self._room.move(peer, Stage.READY, loop.time())
        self._ready.append((peer, connection))
        self._spoken.set()

    def _drop(self, peer: Peer, connection: socket.socket) -> None:
        """End a connection that has no handshake yet."""
        self._room.remove(peer)
        asyncio.get_running_loop().remove_reader(connection)
        connection.close()

    async def _sweep(self) -> NoReturn:
        """End connections that take too long."""
        loop = asyncio.get_running_loop()
        while True:
            for peer in self._room.overdue(loop.time()):
                self._room.sever(peer)
            while self._ready and self._ready[0][1].fileno() < 0:
                self._ready.popleft()
            await asyncio.sleep(SWEEP_S)

    async def _greet_all(self) -> NoReturn:
        """Begin handshakes, one in each turn of the loop: what is under way comes first."""
        loop = asyncio.get_running_loop()
        async with asyncio.TaskGroup() as group:
            while True:
                while self._is_busy(loop.time()):  # noqa: ASYNC110  nobody tells
                    await asyncio.sleep(PAUSE_S)
                if not self._ready:
                    self._spoken.clear()
                    await self._spoken.wait()
                    continue
                is_late = loop.time() - self._ready[0][0].since > LATE_S
                peer, connection = self._ready.pop() if is_late else self._ready.popleft()
                if connection.fileno() >= 0:
                    peer.waited_s = loop.time() - peer.since
                    peer.greeted_at = loop.time()
                    self._brisk.append(peer)
                    self._room.move(peer, Stage.HANDSHAKE, loop.time())
                    group.create_task(self._greet(peer, connection))
                    await asyncio.sleep(0)

    def _is_busy(self, now: float) -> bool:
        while self._brisk and (self._brisk[0].stage not in _TO_COME or now - self._brisk[0].greeted_at > BRISK_S):
            self._brisk.popleft()
        coming = sum(peer.stage in _TO_COME for peer in self._brisk)
        return coming >= self._line_room() or coming + len(self.server_state.tasks) >= self._max_busy

    async def _greet(self, peer: Peer, connection: socket.socket) -> None:
        # Its transport knows that the connection has ended; the room learns it from there.
        peer.sever = partial(_cut, connection)
        tls = self.config.ssl
        times = {"ssl_handshake_timeout": HANDSHAKE_S, "ssl_shutdown_timeout": CLOSE_S} if tls else {}
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                partial(self._connection, peer), connection, ssl=tls, **times
            )
        except OSError as error:
            _log.debug("no handshake: %s", error)
            connection.close()
            self._room.remove(peer)

    def _connection(self, peer: Peer) -> HttpConnection:
        return HttpConnection(
            peer, self._room, config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )


def _cut(connection: socket.socket) -> None:
    """End a connection whose socket belongs to somebody else."""
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
