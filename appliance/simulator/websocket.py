"""The server side of one WebSocket connection over asyncio streams.

The protocol is the sans-I/O one of ``websockets``, which leaves every frame and every ending to us.
"""

import asyncio
import contextlib
import http
import logging
import re
import socket
import struct
from asyncio.trsock import TransportSocket
from collections.abc import Set as AbstractSet
from typing import Final
from urllib.parse import parse_qs

from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.protocol import State
from websockets.server import ServerProtocol

from appliance.clock import loop_time
from appliance.simulator.contract.messages import ABNORMAL
from appliance.simulator.options import SimulatorOptions
from appliance.simulator.ports import Caller

_PATH: Final = re.compile(
    r"/{1,2}ws/google\.ai\.generativelanguage\.(?P<version>v1alpha|v1beta|v1)"
    r"\.GenerativeService\.BidiGenerateContent(?P<constrained>Constrained)?"
)
"""With one leading slash, or with two, as the SDK sends it."""
_HANDSHAKE_S: Final = 10.0
_CLOSING_S: Final = 1.0
"""Time for the client to answer a close frame."""
_MAX_REASON_BYTES: Final = 123
"""RFC 6455 section 5.5: 125 bytes for a control frame, two of them for the code."""
_READ_BYTES: Final = 1 << 16
_PONG: Final = 0x8A
"""First byte of a pong that is one frame (RFC 6455, 5.2)."""
_SMALL_BUFFER_BYTES: Final = 4096
"""The receive buffer once reading stops: the client's own buffers then fill up sooner."""
_RESET: Final = struct.pack("ii", 1, 0)
"""SO_LINGER: closing discards unsent data and sends a reset (socket(7))."""

_LOG: Final = logging.getLogger(__name__)
_LOG.setLevel(logging.WARNING)  # at DEBUG, websockets logs frames: tokens and words


class WebSocket:
    """A `Transport`. One task receives; any task of the same loop may send."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, received: bytes, options: SimulatorOptions
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._received = received
        """Bytes read before, not parsed yet."""
        self._idle_s = options.idle_s
        self._protocol = ServerProtocol(max_size=options.max_message_bytes, logger=_LOG)
        self._fragments: list[bytes] = []
        self._messages: list[bytes] = []
        """Complete messages for `receive`: at most those of one read."""
        self._read_timeout: asyncio.Timeout | None = None
        """Timeout of the read in progress."""
        self._closing_until: float | None = None
        self._upgrade: Request | None = None
        """The client's request; None before, and once it is refused."""
        self._reading = asyncio.Event()
        self._reading.set()
        self._sending = True
        self._gone = False
        self._pong_delay_s = 0.0
        self._close_delay_s = 0.0

    @property
    def close_code(self) -> int:
        """Close code of the connection; 1006 without a close frame."""
        if self._gone or not self._sending:
            return ABNORMAL
        ended = self._protocol.close_sent or self._protocol.close_rcvd
        return ended.code if ended else ABNORMAL

    @property
    def closing(self) -> bool:
        """The service has closed or dropped it, or it has ended: further messages are ignored."""
        return self._gone or self._protocol.state is not State.OPEN

    @property
    def ended(self) -> bool:
        """The close handshake is over, or the connection is lost.

        A connection that is no longer read counts as lost: its end would not be noticed.
        """
        return self._gone or self._writer.is_closing() or not self._reading.is_set()

    async def request(self) -> Request | None:
        """Return the request for an upgrade; None if none comes in time, or it is malformed."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_HANDSHAKE_S):
                self._upgrade = await self._request()
        return self._upgrade

    async def accept(self) -> None:
        """Accept the request."""
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
            if not await self._read_in_time():
                return None
            self._collect_messages()
            if self._protocol.close_rcvd is not None:
                await asyncio.sleep(self._close_delay_s)
            await self._flush()
        return self._messages.pop(0)

    async def send(self, payload: bytes) -> None:
        """Send a message in a binary frame; ignored once the connection is ending."""
        if self._protocol.state is State.OPEN and not self._gone:
            self._protocol.send_binary(payload)
            await self._flush()

    async def close(self, code: int, reason: str) -> None:
        """Send a close frame, or drop if nothing is sent any more; `receive` then returns None."""
        if not self._sending:
            self.drop()
        elif self._protocol.state is State.OPEN and not self._gone:
            # A reason may quote the client's message, which need not be valid Unicode.
            fitting = reason.encode(errors="replace")[:_MAX_REASON_BYTES].decode(errors="ignore")
            self._protocol.send_close(code, fitting)
            await self._flush()
            self._closing_until = loop_time() + _CLOSING_S
            if self._read_timeout is not None:
                self._read_timeout.reschedule(self._closing_until)

    def drop(self) -> None:
        """End at once without a close frame; `receive` then returns None."""
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
        """Read nothing more; the client's messages pile up."""
        self._reading.clear()
        if not self._writer.is_closing():
            # Merely paused, asyncio's TLS would read 256 KiB more: six seconds of speech.
            self._writer.transport.set_read_buffer_limits(0)  # type: ignore[attr-defined]
            self._writer.transport.pause_reading()  # type: ignore[attr-defined]
        with contextlib.suppress(OSError):
            self._socket().setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _SMALL_BUFFER_BYTES)

    def stop_sending(self) -> None:
        """Send nothing more, pongs and close frames included."""
        self._sending = False

    def slow_pongs(self, seconds: float) -> None:
        """Delay every pong by this time."""
        self._pong_delay_s = seconds

    def slow_close(self, seconds: float) -> None:
        """Delay the answer to the client's close frame by this time."""
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

    async def _read_in_time(self) -> bool:
        """Feed the protocol once; False at the end of the stream, or after the idle or closing timeout."""
        now = loop_time()
        if self._protocol.state is not State.OPEN and self._closing_until is None and self._sending:
            self._closing_until = now + _CLOSING_S
        try:
            async with asyncio.timeout_at(self._closing_until or now + self._idle_s) as self._read_timeout:
                await self._reading.wait()
                return await self._read()
        except TimeoutError:
            return False
        finally:
            self._read_timeout = None

    async def _read(self) -> bool:
        """Feed the protocol once; False at the end of the stream."""
        with contextlib.suppress(OSError):
            data, self._received = self._received or await self._reader.read(_READ_BYTES), b""
            if data and not self._gone:
                self._protocol.receive_data(data)
                return True
        self._protocol.receive_eof()
        return False

    def _collect_messages(self) -> None:
        for frame in self._protocol.events_received():
            if isinstance(frame, Frame) and frame.opcode in {Opcode.TEXT, Opcode.BINARY, Opcode.CONT}:
                self._fragments.append(bytes(frame.data))
                if frame.fin:
                    self._messages.append(b"".join(self._fragments))
                    self._fragments.clear()

    async def _flush(self) -> None:
        """Send the protocol's output; a lost connection is noticed where it is read."""
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


def read_caller(request: Request, versions: AbstractSet[str]) -> Caller | None:
    """Return the sender of a connection request; None if the path is not the Live API's in one of these versions.

    A token is in the header Authorization or in the query, an API key in its own header or in the query.
    """
    path, _, query = request.path.partition("?")  # urlsplit would take a doubled slash for the start of a host name
    match = _PATH.fullmatch(path)
    if match is None or match["version"] not in versions:
        return None
    constrained = match["constrained"] is not None
    if constrained:
        scheme, _, credential = _header(request, "Authorization").partition(" ")
        shown = credential if scheme == "Token" else ""
    else:
        shown = _header(request, "x-goog-api-key")
    queried = parse_qs(query).get("access_token" if constrained else "key", [""])[0]
    return Caller(constrained, match["version"], shown or queried)


def _header(request: Request, name: str) -> str:
    return "".join(request.headers.get_all(name))
