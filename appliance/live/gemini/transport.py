"""The TCP connections under a link: bounds on what may wait in them, and what does wait.

Responsible for the socket alone, by public means of websockets (``create_connection``) and asyncio (transport, socket),
but for one look beneath TLS (`_waiting`).
"""

import asyncio
import fcntl
import socket
import struct
import termios
from contextlib import suppress
from typing import Any, Final

from websockets.asyncio.client import ClientConnection

from appliance.live.ports import Traffic

SEND_BUFFER_BYTES: Final = 32 * 1024
"""About a second of audio as it goes over the wire; the kernel doubles it for its own needs. Its own choice would hide
a minute and a half of audio that does not leave."""
USER_TIMEOUT_MS: Final = 10_000
"""What is not acknowledged for so long ends the connection (RFC 5482)."""

_TCP_INFO: Final = struct.Struct("=120xQ")
"""Of ``struct tcp_info`` (linux/tcp.h), ``tcpi_bytes_acked``: Linux 4.1 and later."""
_INT: Final = struct.Struct("i")


class ConnectionMonitor:
    """The connection that one link is made over; the last of several, where the service redirects."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._witness: socket.socket | None = None
        self._acknowledged: int | None = None
        self._written = 0

    def connection(self, *args: Any, **kwargs: Any) -> ClientConnection:  # noqa: ANN401  websockets' own
        """Make a connection: a factory for ``websockets.connect(create_connection=…)``."""
        return _Connection(self, *args, **kwargs)

    def made(self, transport: asyncio.Transport) -> None:
        """Bound what may wait in a connection."""
        self._forget_witness()
        self._transport, self._acknowledged, self._written = transport, None, 0
        wire = transport.get_extra_info("socket")
        with suppress(OSError):  # it may be gone already, and its reader tells
            # The transport closes its socket before it tells that the connection is lost.
            self._witness = wire.dup()
            wire.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
            wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, USER_TIMEOUT_MS)

    def traffic(self) -> Traffic | None:
        """Return what is on its way; None where there is no connection or the kernel does not tell."""
        transport = self._transport
        if transport is None or transport.is_closing():
            return None
        wire = transport.get_extra_info("socket")
        try:
            queued = _waiting(transport) + _unacknowledged(wire)
            return Traffic(_acknowledged(wire) + queued, queued)
        except (OSError, struct.error):
            return None

    def written(self) -> int:
        """Return how many bytes have been given to the connection, as far as is known; never less than before."""
        traffic = self.traffic()
        if traffic is not None:
            self._written = max(self._written, traffic.written)
        return self._written

    def acknowledged(self) -> int | None:
        """Return how many bytes the other end has acknowledged, also once the connection is lost; None: unknown."""
        if self._witness is not None:
            with suppress(OSError, struct.error):
                self._acknowledged = _acknowledged(self._witness)
        return self._acknowledged

    def lost(self, transport: asyncio.BaseTransport) -> None:
        """Take note of what has arrived, and let go of the connection; one that was followed by another is no news."""
        if transport is self._transport:
            self.acknowledged()
            self._forget_witness()

    def _forget_witness(self) -> None:
        if self._witness is not None:
            self._witness.close()
            self._witness = None


def _waiting(transport: asyncio.Transport) -> int:
    """Return how many bytes wait in this process.

    TLS hands on what it has encrypted to a transport of its own, which takes 64 KB before it objects; nothing public
    tells of that.
    """
    beneath = getattr(getattr(transport, "_ssl_protocol", None), "_transport", None)
    return transport.get_write_buffer_size() + (beneath.get_write_buffer_size() if beneath is not None else 0)


def _acknowledged(wire: socket.socket) -> int:
    (acknowledged,) = _TCP_INFO.unpack(wire.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO.size))
    return int(acknowledged)


def _unacknowledged(wire: socket.socket) -> int:
    """Return how many bytes the kernel holds until the other end has acknowledged them (SIOCOUTQ, tcp(7))."""
    answer = fcntl.ioctl(wire.fileno(), termios.TIOCOUTQ, bytes(_INT.size))
    return int(_INT.unpack(answer)[0])


class _Connection(ClientConnection):
    """A connection that shows its transport."""

    def __init__(self, wires: ConnectionMonitor, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401  websockets' own
        super().__init__(*args, **kwargs)
        self._wires = wires

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin; as asyncio has it."""
        if isinstance(transport, asyncio.Transport):
            self._wires.made(transport)
        super().connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """End; as asyncio has it."""
        self._wires.lost(self.transport)
        super().connection_lost(exc)
