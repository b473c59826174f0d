"""One WebSocket connection of the server side over asyncio streams.

The protocol itself is the sans-I/O one of ``websockets``: it leaves every frame and every ending in our hands.
"""

import asyncio
import contextlib
import http
import logging
from collections.abc import Callable
from typing import Final

from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.protocol import State
from websockets.server import ServerProtocol

from appliance.simulator.options import SimulatorOptions

_HANDSHAKE_S: Final = 10.0
_CLOSING_S: Final = 1.0
"""How long the client may take to answer a close frame."""
_MAX_REASON_BYTES: Final = 123
"""RFC 6455 section 5.5: 125 bytes for a control frame, two of them for the code."""
_READ_BYTES: Final = 1 << 16

_LOG: Final = logging.getLogger(__name__)
_LOG.setLevel(logging.WARNING)  # at DEBUG, websockets logs frames: tokens and words


class WebSocket:
    """Messages in, messages out; one task receives, any task of the same loop sends."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, received: bytes, options: SimulatorOptions
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._received = received
        """Came before this object, and is not parsed yet."""
        self._idle_s = options.idle_s
        self._protocol = ServerProtocol(max_size=options.max_message_bytes, logger=_LOG)
        self._fragments: list[bytes] = []
        self._messages: list[bytes] = []
        """Whole ones that wait for `receive`: at most what one read holds."""
        self._patience: asyncio.Timeout | None = None
        """Of the read that is under way."""
        self._closing_until: float | None = None

    @property
    def close_code(self) -> int:
        """What the connection ended with; 1006 where no close frame came."""
        ended = self._protocol.close_sent or self._protocol.close_rcvd
        return ended.code if ended else 1006

    async def accept(self, is_known: Callable[[str], bool]) -> Request | None:
        """Answer the upgrade; None where it is refused: 404 for a path that is not known."""
        request = None
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_HANDSHAKE_S):
                request = await self._request()
        if request is None:
            return None
        if is_known(request.path):
            response = self._protocol.accept(request)
        else:
            response = self._protocol.reject(http.HTTPStatus.NOT_FOUND, "Not Found\n")
        self._protocol.send_response(response)
        await self._flush()
        return request if self._protocol.state is State.OPEN else None

    async def receive(self) -> bytes | None:
        """Return the next message; None once the connection has ended or was idle for too long."""
        while not self._messages:
            if not await self._patient_read():
                return None
            self._sort()
            await self._flush()
        return self._messages.pop(0)

    async def send(self, payload: bytes) -> None:
        """Send a message in a binary frame; nothing, once the connection is ending."""
        if self._protocol.state is State.OPEN:
            self._protocol.send_binary(payload)
            await self._flush()

    async def close(self, code: int, reason: str) -> None:
        """Send a close frame; `receive` sees the end."""
        if self._protocol.state is State.OPEN:
            self._protocol.send_close(code, reason.encode()[:_MAX_REASON_BYTES].decode(errors="ignore"))
            await self._flush()
            self._closing_until = asyncio.get_running_loop().time() + _CLOSING_S
            if self._patience is not None:
                self._patience.reschedule(self._closing_until)

    async def _request(self) -> Request | None:
        while await self._read():
            for event in self._protocol.events_received():
                if isinstance(event, Request):
                    return event
            await self._flush()
            if self._protocol.handshake_exc is not None:
                break
        return None

    async def _patient_read(self) -> bool:
        """Feed the protocol once; False at the end of the stream, or when the time allowed is over."""
        now = asyncio.get_running_loop().time()
        if self._protocol.state is not State.OPEN and self._closing_until is None:
            self._closing_until = now + _CLOSING_S
        try:
            async with asyncio.timeout_at(self._closing_until or now + self._idle_s) as self._patience:
                return await self._read()
        except TimeoutError:
            return False
        finally:
            self._patience = None

    async def _read(self) -> bool:
        """Feed the protocol once; False at the end of the stream."""
        with contextlib.suppress(OSError):
            data, self._received = self._received or await self._reader.read(_READ_BYTES), b""
            if data:
                self._protocol.receive_data(data)
                return True
        self._protocol.receive_eof()
        return False

    def _sort(self) -> None:
        for frame in self._protocol.events_received():
            if isinstance(frame, Frame) and frame.opcode in {Opcode.TEXT, Opcode.BINARY, Opcode.CONT}:
                self._fragments.append(bytes(frame.data))
                if frame.fin:
                    self._messages.append(b"".join(self._fragments))
                    self._fragments.clear()

    async def _flush(self) -> None:
        """Send what the protocol wants sent; a connection that has gone shows where it is read."""
        for data in self._protocol.data_to_send():
            if data:
                self._writer.write(data)
            else:
                self._writer.close()
        with contextlib.suppress(OSError):
            await self._writer.drain()
