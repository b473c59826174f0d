"""Accepts connections at once, and begins TLS handshakes no faster than requests are served.

A silent connection costs only a file descriptor. Connections that have sent something get their handshake in order of
arrival, or newest first once the oldest has waited for long: that device has given up, or will before it is answered.
Otherwise a fleet that comes back all at once would be served in order of arrival, and always too late.
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
"""Approximate number of handshakes and requests under way; at this number no handshake begins."""
BRISK_S: Final = 0.05
"""A connection that takes longer from its handshake to a whole request no longer counts as busy."""
LATE_S: Final = 0.5
"""Handshakes are in order of arrival until one has waited for longer."""
PAUSE_S: Final = 0.01
"""Interval between checks for free capacity."""
SWEEP_S: Final = 0.25
"""Interval between checks for overdue connections."""
AT_ONCE: Final = 64
"""Connections accepted before anything else is done."""
HANDSHAKE_S: Final = 60.0
"""Longer than `ConnectionLimits` allows: the library needs a bound too."""
CLOSE_S: Final = 1.0
"""Longest wait for the other side to close a TLS connection."""
_TO_COME: Final = frozenset({Stage.HANDSHAKE, Stage.REQUEST})
_log = logging.getLogger(__name__)


class HttpConnection(H11Protocol):
    """uvicorn's HTTP connection. Reports its stage to the limits, and each request's arrival to the application."""

    def __init__(self, peer: Peer, limits: ConnectionLimits, **given: Any) -> None:  # noqa: ANN401  uvicorn's
        super().__init__(**given)
        self._peer = peer
        self._limits = limits
        self._has_begun = False
        """Whether a request has come, at least in part."""
        self._begin_arrival(peer.came_at)

    def connection_made(self, transport: Any) -> None:  # noqa: ANN401  asyncio's, TLS or not
        """Wait for a request."""
        self._peer.sever = transport.abort
        super().connection_made(transport)
        self._limits.move(self._peer, Stage.REQUEST, self.loop.time())

    def connection_lost(self, exc: Exception | None) -> None:
        """Mark the request's sender as gone."""
        self._arrival.is_gone = True
        self._limits.remove(self._peer)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take a part of a request."""
        if not self._has_begun:
            self._has_begun = True
            now = self.loop.time()
            self._begin_arrival(now - self._peer.waited_s)
            self._peer.waited_s = 0.0
            if self._peer.stage is Stage.IDLE:
                self._limits.move(self._peer, Stage.REQUEST, now)
        super().data_received(data)
        self._note_work()

    def on_response_complete(self) -> None:
        """Wait for the next request, which may have come already."""
        now = self.loop.time()
        self._limits.move(self._peer, Stage.IDLE, now)
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
            self._limits.move(self._peer, Stage.WORK, self.loop.time())


class PacedServer(uvicorn.Server):
    """Serves connections from ``listener``, which listens already. Give `serve` and `run` no other sockets.

    Args:
        config: uvicorn's. HTTP is always spoken by `HttpConnection`.
        listener: The socket to accept from; closed at the end.
        max_busy: Handshakes and requests under way at which no further handshake begins.
        limits: Keeps track of the connections.
        handshakes_allowed: Returns how many further handshakes may begin; None: ``max_busy`` alone decides.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        listener: socket.socket,
        max_busy: int = MAX_BUSY,
        limits: ConnectionLimits | None = None,
        handshakes_allowed: Callable[[], int] | None = None,
    ) -> None:
        super().__init__(config)
        self._listener = listener
        self._max_busy = max_busy
        self._limits = ConnectionLimits() if limits is None else limits
        self._handshakes_allowed = handshakes_allowed or (lambda: max_busy)
        self._ready: deque[tuple[Peer, socket.socket]] = deque()
        """Connections that have sent something, the newest last; bounded by the limits."""
        self._spoken = asyncio.Event()
        self._brisk: deque[Peer] = deque()
        """Handshakes in the order in which they began; bounded by the limits."""
        listener.settimeout(0)

    async def main_loop(self) -> None:
        """Accept connections until the server is stopped."""
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._begin_handshakes()), group.create_task(self._sweep())]
            self._listen()
            try:
                await super().main_loop()
            finally:
                asyncio.get_running_loop().remove_reader(self._listener)
                for task in tasks:
                    task.cancel()
        for peer in self._limits.connections():
            if peer.stage in {Stage.SILENT, Stage.READY}:
                peer.sever()
        self._listener.close()

    def _listen(self) -> None:
        asyncio.get_running_loop().add_reader(self._listener, self._accept)

    def _accept(self) -> None:
        """Accept the connections that wait in the kernel; called whenever there are any."""
        for _ in range(AT_ONCE):
            try:
                connection, address = self._listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:  # as a rule: too many open files
                _log.warning("cannot accept a connection: %s", error.strerror)
                self._pause()
                return
            self._add(connection, origin_of(address[0]))
            if len(self._limits) >= self._limits.maximum and self._limits.longest_waiting(loop_time()) is None:
                self._pause()
                return

    def _pause(self) -> None:
        """Accept nothing for a moment: new connections wait in the kernel."""
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._listener)
        if longest := self._limits.longest_waiting(loop.time()):
            self._limits.sever(longest)
        loop.call_later(PAUSE_S, self._resume)

    def _resume(self) -> None:
        if self._listener.fileno() >= 0 and not self.should_exit:
            self._listen()

    def _add(self, connection: socket.socket, origin: str) -> None:
        """Wait for the first bytes of a connection."""
        loop = asyncio.get_running_loop()
        if leaving := self._limits.to_evict_for(origin, loop.time()):
            self._limits.sever(leaving)
        connection.settimeout(0)
        with suppress(OSError):
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        peer = Peer(origin, loop.time(), lambda: None)
        peer.sever = partial(self._drop, peer, connection)
        self._limits.add(peer)
        loop.add_reader(connection, self._on_readable, peer, connection)

    def _on_readable(self, peer: Peer, connection: socket.socket) -> None:
        """Queue a connection that has sent something for its handshake."""
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
        self._limits.move(peer, Stage.READY, loop.time())
        self._ready.append((peer, connection))
        self._spoken.set()

    def _drop(self, peer: Peer, connection: socket.socket) -> None:
        """Close a connection before its handshake."""
        self._limits.remove(peer)
        asyncio.get_running_loop().remove_reader(connection)
        connection.close()

    async def _sweep(self) -> NoReturn:
        """Close overdue connections."""
        loop = asyncio.get_running_loop()
        while True:
            for peer in self._limits.overdue(loop.time()):
                self._limits.sever(peer)
            while self._ready and self._ready[0][1].fileno() < 0:
                self._ready.popleft()
            await asyncio.sleep(SWEEP_S)

    async def _begin_handshakes(self) -> NoReturn:
        """Begin handshakes, one in each turn of the loop: work under way comes first."""
        loop = asyncio.get_running_loop()
        async with asyncio.TaskGroup() as group:
            while True:
                while self._is_busy(loop.time()):  # noqa: ASYNC110  there is no event for it
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
                    self._limits.move(peer, Stage.HANDSHAKE, loop.time())
                    group.create_task(self._handshake(peer, connection))
                    await asyncio.sleep(0)

    def _is_busy(self, now: float) -> bool:
        while self._brisk and (self._brisk[0].stage not in _TO_COME or now - self._brisk[0].greeted_at > BRISK_S):
            self._brisk.popleft()
        coming = sum(peer.stage in _TO_COME for peer in self._brisk)
        return coming >= self._handshakes_allowed() or coming + len(self.server_state.tasks) >= self._max_busy

    async def _handshake(self, peer: Peer, connection: socket.socket) -> None:
        # From here on the transport notices the end of the connection, and tells the limits.
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
            self._limits.remove(peer)

    def _connection(self, peer: Peer) -> HttpConnection:
        return HttpConnection(
            peer, self._limits, config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )


def _cut(connection: socket.socket) -> None:
    """Close a connection whose socket the transport owns."""
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
