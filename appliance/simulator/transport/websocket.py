"""One WebSocket connection of the server side over asyncio streams.

The protocol itself is the sans-I/O one of ``websockets``: it leaves every frame and every ending in our hands.
"""

import asyncio
import contextlib
import http
import logging
import socket
import struct
from asyncio.trsock import TransportSocket
from typing import Final

from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.protocol import State
from websockets.server import ServerProtocol

from appliance.simulator.contract.messages import ABNORMAL
from appliance.simulator.options import SimulatorOptions

_HANDSHAKE_S: Final = 10.0
_CLOSING_S: Final = 1.0
"""How long the client may take to answer a close frame."""
_MAX_REASON_BYTES: Final = 123
"""RFC 6455 section 5.5: 125 bytes for a control frame, two of them for the code."""
_READ_BYTES: Final = 1 << 16
_PONG: Final = 0x8A
"""First byte of a pong that is one frame (RFC 6455, 5.2)."""
_SMALL_BUFFER_BYTES: Final = 4096
"""For the kernel, once nothing is read: the client's own buffers fill up the sooner."""
_RESET: Final = struct.pack("ii", 1, 0)
"""SO_LINGER: closing discards what is unsent and sends a reset (socket(7))."""

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
        self._upgrade: Request | None = None
        """What the client asks for; None before, and once it is refused."""
        self._reading = asyncio.Event()
        self._reading.set()
        self._sending = True
        self._gone = False
        self._pong_delay_s = 0.0
        self._close_delay_s = 0.0

    @property
    def close_code(self) -> int:
        """What the connection ended with; 1006 where no close frame came."""
        if self._gone or not self._sending:
            return ABNORMAL
        ended = self._protocol.close_sent or self._protocol.close_rcvd
        return ended.code if ended else ABNORMAL

    @property
    def closing(self) -> bool:
        """The service has closed or dropped it, or it has ended: nothing that comes now counts."""
        return self._gone or self._protocol.state is not State.OPEN

    @property
    def ended(self) -> bool:
        """The close handshake is over, or the connection is gone.

        One that is no longer read counts as gone: its end would not be seen.
        """
        return self._gone or self._writer.is_closing() or not self._reading.is_set()

    async def request(self) -> Request | None:
        """Return the request for an upgrade; None where none comes in time, or one that is none."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_HANDSHAKE_S):
                self._upgrade = await self._request()
        return self._upgrade

    async def accept(self) -> None:
        """Grant the request."""
        if self._upgrade is not None:
            self._protocol.send_response(self._protocol.accept(self._upgrade))
            await self._flush()

    async def refuse(self, status: int) -> None:
        """Answer the request with an HTTP error; ends the connection."""
        self._upgrade = None
        known = http.HTTPStatus(status)
        self._protocol.send_response(self._protocol.reject(known, f"{known.phrase}\n"))
        await self._flush()

    async def receive(self) -> bytes | None:
        """Return the next message; None once the connection has ended or was idle for too long."""
        while not self._messages:
            if not await self._patient_read():
                return None
            self._sort()
            if self._protocol.close_rcvd is not None:
                await asyncio.sleep(self._close_delay_s)
            await self._flush()
        return self._messages.pop(0)

    async def send(self, payload: bytes) -> None:
        """Send a message in a binary frame; nothing, once the connection is ending."""
        if self._protocol.state is State.OPEN and not self._gone:
            self._protocol.send_binary(payload)
            await self._flush()

    async def close(self, code: int, reason: str) -> None:
        """Send a close frame, or drop where nothing is sent any more; `receive` sees the end."""
        if not self._sending:
            self.drop()
        elif self._protocol.state is State.OPEN and not self._gone:
            # A reason may repeat what the client has sent, which need not be Unicode.
            fitting = reason.encode(errors="replace")[:_MAX_REASON_BYTES].decode(errors="ignore")
            self._protocol.send_close(code, fitting)
            await self._flush()
            self._closing_until = asyncio.get_running_loop().time() + _CLOSING_S
            if self._patience is not None:
                self._patience.reschedule(self._closing_until)

    def drop(self) -> None:
        """Be gone at once, without a close frame; `receive` sees the end."""
        self._gone = True
        with contextlib.suppress(OSError):
            self._socket().setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        # Python 3.11.2, which Debian 12 has, raises this for a TLS connection that is closed already.
        with contextlib.suppress(AttributeError):
            self._writer.transport.abort()
        self._reading.set()

    async def send_half(self, payload: bytes) -> None:
        """Send the first half of a message's frame, then drop."""
        frame = Frame(Opcode.BINARY, payload).serialize(mask=False)
        with contextlib.suppress(OSError):
            self._writer.write(frame[: len(frame) // 2])
            await self._writer.drain()
        self.drop()

    def half_close(self) -> None:
        """End the service's direction of the stream without a close frame, and go on reading."""
        self._sending = False
        with contextlib.suppress(OSError):
            self._socket().shutdown(socket.SHUT_WR)

    def stop_reading(self) -> None:
        """Take nothing more from the connection; what the client sends piles up."""
        self._reading.clear()
        if not self._writer.is_closing():
            # Paused alone, asyncio's TLS would take 256 KiB more: six seconds of speech.
            self._writer.transport.set_read_buffer_limits(0)  # type: ignore[attr-defined]
            self._writer.transport.pause_reading()  # type: ignore[attr-defined]
        with contextlib.suppress(OSError):
            self._socket().setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _SMALL_BUFFER_BYTES)

    def stop_sending(self) -> None:
        """Send nothing more, pongs and close frames included."""
        self._sending = False

    def slow_pongs(self, seconds: float) -> None:
        """Answer every ping this late."""
        self._pong_delay_s = seconds

    def slow_close(self, seconds: float) -> None:
        """Answer the client's close frame this late."""
        self._close_delay_s = seconds

    def _socket(self) -> TransportSocket:
        found: TransportSocket = self._writer.get_extra_info("socket")
        return found

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
        if self._protocol.state is not State.OPEN and self._closing_until is None and self._sending:
            self._closing_until = now + _CLOSING_S
        try:
            async with asyncio.timeout_at(self._closing_until or now + self._idle_s) as self._patience:
                await self._reading.wait()
                return await self._read()
        except TimeoutError:
            return False
        finally:
            self._patience = None

    async def _read(self) -> bool:
        """Feed the protocol once; False at the end of the stream."""
        with contextlib.suppress(OSError):
            data, self._received = self._received or await self._reader.read(_READ_BYTES), b""
            if data and not self._gone:
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
            if not self._sending:
                continue
            if data and data[0] == _PONG and self._pong_delay_s:
                asyncio.get_running_loop().call_later(self._pong_delay_s, self._write, data)
            elif data:
                self._write(data)
            else:
                self._writer.close()
        with contextlib.suppress(OSError):
            await self._writer.drain()

    def _write(self, data: bytes) -> None:
        if not self._writer.is_closing():
            self._writer.write(data)
