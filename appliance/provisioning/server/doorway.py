"""Takes connections in no faster than they are served: those that are too many wait in the kernel, at no cost.

Without this, a fleet that comes back at once is let in as a whole: every handshake is begun, none of the answers comes
in time, and the devices' next attempts come on top.
"""

import asyncio
import logging
import socket
from typing import Final, NoReturn

import uvicorn

MAX_BUSY: Final = 128
"""Handshakes and requests under way, about; while there are as many, nobody is taken in."""
HANDSHAKE_S: Final = 3.0
"""The longest wait for a handshake."""
PAUSE_S: Final = 0.01
"""How often to look whether there is room again."""
_log = logging.getLogger(__name__)


class PacedServer(uvicorn.Server):
    """Serves what comes to ``listener``, which listens already; `serve` and `run` are to have no other sockets."""

    def __init__(self, config: uvicorn.Config, listener: socket.socket, max_busy: int = MAX_BUSY) -> None:
        super().__init__(config)
        self._listener = listener
        self._max_busy = max_busy
        self._greeted = 0
        listener.settimeout(0)

    async def main_loop(self) -> None:
        """Take connections in until the server is told to end."""
        async with asyncio.TaskGroup() as group:
            door = group.create_task(self._take_in())
            await super().main_loop()
            door.cancel()
        self._listener.close()

    async def _take_in(self) -> NoReturn:
        loop = asyncio.get_running_loop()
        async with asyncio.TaskGroup() as group:
            while True:
                try:
                    connection, _ = await loop.sock_accept(self._listener)
                except OSError as error:  # as a rule: too many open files
                    _log.warning("a connection cannot be taken in: %s", error.strerror)
                    await asyncio.sleep(PAUSE_S)
                    continue
                self._greeted += 1
                group.create_task(self._greet(connection))
                while self._greeted + len(self.server_state.tasks) >= self._max_busy:  # noqa: ASYNC110  nobody tells
                    await asyncio.sleep(PAUSE_S)

    async def _greet(self, connection: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        try:
            await loop.connect_accepted_socket(
                self._protocol, connection, ssl=self.config.ssl, ssl_handshake_timeout=HANDSHAKE_S
            )
        except OSError as error:
            _log.debug("no handshake: %s", error)
            connection.close()
        finally:
            self._greeted -= 1

    def _protocol(self) -> asyncio.Protocol:
        made: asyncio.Protocol = self.config.http_protocol_class(  # type: ignore[call-arg]
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )
        return made
