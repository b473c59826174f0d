"""The way from a home to the service: what is sent arrives some milliseconds later, and so does the end."""

import asyncio
import socket
import struct
from contextlib import AsyncExitStack, suppress
from types import TracebackType
from typing import Final, Self

_RESET: Final = struct.pack("ii", 1, 0)
"""SO_LINGER: closing discards what is unsent and sends a reset (socket(7))."""
_READ_BYTES: Final = 1 << 16


class Line:
    """Relays every connection to a port on loopback, ``delay_s`` late in each direction; inside ``async with``.

    A reset of one side resets the other, and what is under way then is lost, as on the way through a home's router.
    """

    def __init__(self, port: int, delay_s: float) -> None:
        self._to = port
        self._delay_s = delay_s
        self._tasks = asyncio.TaskGroup()
        self._relays: set[asyncio.Task[None]] = set()

    @property
    def base_url(self) -> str:
        """What clients are to use."""
        return f"https://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._tasks)
            self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
            stack.callback(self._hang_up)
            stack.callback(self._server.close)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        return await self._stack.__aexit__(kind, error, traceback)

    def _hang_up(self) -> None:
        for relay in self._relays:
            relay.cancel()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        relay = self._tasks.create_task(self._relay(reader, writer))
        self._relays.add(relay)
        relay.add_done_callback(self._relays.discard)

    async def _relay(self, near_in: asyncio.StreamReader, near_out: asyncio.StreamWriter) -> None:
        try:
            far_in, far_out = await asyncio.open_connection("127.0.0.1", self._to)
        except OSError:
            near_out.transport.abort()
            return
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(self._carry(near_in, far_out))
                both.create_task(self._carry(far_in, near_out))
        finally:
            near_out.transport.abort()
            far_out.transport.abort()

    async def _carry(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        """Carry what comes, up to the end of the stream."""
        loop = asyncio.get_running_loop()
        target.transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while True:
            try:
                data = await source.read(_READ_BYTES)
            except OSError:
                loop.call_later(self._delay_s, _reset, target)
                await asyncio.sleep(2 * self._delay_s)
                return
            if not data:
                loop.call_later(self._delay_s, _finish, target)
                await asyncio.sleep(2 * self._delay_s)
                return
            loop.call_later(self._delay_s, _write, target, data)


def _write(target: asyncio.StreamWriter, data: bytes) -> None:
    if not target.is_closing():
        target.write(data)


def _finish(target: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        if not target.is_closing():
            target.write_eof()


def _reset(target: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        target.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    target.transport.abort()
