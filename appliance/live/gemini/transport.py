"""The TCP connection under a link: its buffer limits, the bytes in flight, and the samples among them.

Uses public interfaces of websockets (``create_connection``) and asyncio (transport, socket), except for one look
beneath TLS (`_waiting`).
"""

import asyncio
import fcntl
import socket
import struct
import termios
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from websockets.asyncio.client import ClientConnection

from appliance.live.ports import Traffic

SEND_BUFFER_BYTES: Final = 32 * 1024
"""About a second of audio on the wire; the kernel doubles it for its own needs. The kernel's default would hide 90
seconds of audio that is not sent."""
USER_TIMEOUT_MS: Final = 10_000
"""Data that is not acknowledged within this time ends the connection (RFC 5482)."""
MAX_CHUNKS: Final = 256
"""Chunks tracked: ten seconds of speech, far more than a connection holds (`SEND_BUFFER_BYTES`)."""

_TCP_INFO: Final = struct.Struct("=120xQ")
"""``tcpi_bytes_acked`` in ``struct tcp_info`` (linux/tcp.h): Linux 4.1 and later."""
_INT: Final = struct.Struct("i")


class ConnectionMonitor:
    """Watches the TCP connection of one link; after redirects, the last one."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._duplicate: socket.socket | None = None
        self._acknowledged: int | None = None
        self._written = 0

    def connection(self, *args: Any, **kwargs: Any) -> ClientConnection:  # noqa: ANN401  websockets' own
        """Return a connection: a factory for ``websockets.connect(create_connection=…)``."""
        return _Connection(self, *args, **kwargs)

    def made(self, transport: asyncio.Transport) -> None:
        """Watch a new connection, and limit its buffers."""
        self._close_duplicate()
        self._transport, self._acknowledged, self._written = transport, None, 0
        sock = transport.get_extra_info("socket")
        with suppress(OSError):  # it may be closed already; its reader notices
            # The transport closes its socket before it reports that the connection is lost.
            self._duplicate = sock.dup()
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, USER_TIMEOUT_MS)

    def traffic(self) -> Traffic | None:
        """Return the bytes in flight; None without a connection, or if the kernel does not say."""
        transport = self._transport
        if transport is None or transport.is_closing():
            return None
        sock = transport.get_extra_info("socket")
        try:
            queued = _waiting(transport) + _unacknowledged(sock)
            return Traffic(_acknowledged(sock) + queued, queued)
        except (OSError, struct.error):
            return None

    def written(self) -> int:
        """Return the number of bytes written to the connection, as far as known; never decreases."""
        traffic = self.traffic()
        if traffic is not None:
            self._written = max(self._written, traffic.written)
        return self._written

    def acknowledged(self) -> int | None:
        """Return the bytes that the other end has acknowledged, even after the connection is lost; None if unknown."""
        if self._duplicate is not None:
            with suppress(OSError, struct.error):
                self._acknowledged = _acknowledged(self._duplicate)
        return self._acknowledged

    def lost(self, transport: asyncio.BaseTransport) -> None:
        """Note the acknowledged bytes, and stop watching; ignored for a connection that another has replaced."""
        if transport is self._transport:
            self.acknowledged()
            self._close_duplicate()

    def _close_duplicate(self) -> None:
        if self._duplicate is not None:
            self._duplicate.close()
            self._duplicate = None


@dataclass(frozen=True, slots=True)
class _Chunk:
    samples: int
    written: int
    """Bytes since the connection was made, including this chunk."""
    message: int
    """Messages since the set-up, including this one."""


class DeliveryTracker:
    """Tracks which of the samples sent over one connection have arrived, and which a session knows."""

    def __init__(self) -> None:
        self._chunks: deque[_Chunk] = deque(maxlen=MAX_CHUNKS)

    def sent(self, samples: int, written: int, message: int = 0) -> None:
        """Add a chunk, with the bytes written and the messages sent up to its end."""
        self._chunks.append(_Chunk(samples, written, message))

    def undelivered(self, acknowledged: int) -> int:
        """Return the number of samples, the newest ones, in chunks that are not completely acknowledged."""
        return sum(chunk.samples for chunk in self._chunks if chunk.written > acknowledged)

    def unconsumed(self, messages: int) -> int:
        """Return the number of samples, the newest ones, after this many messages since the set-up."""
        return sum(chunk.samples for chunk in self._chunks if chunk.message > messages)


def _waiting(transport: asyncio.Transport) -> int:
    """Return the number of bytes buffered in this process.

    TLS passes encrypted data to another transport, which buffers 64 KB; no public interface shows it.
    """
    beneath = getattr(getattr(transport, "_ssl_protocol", None), "_transport", None)
    return transport.get_write_buffer_size() + (beneath.get_write_buffer_size() if beneath is not None else 0)


def _acknowledged(sock: socket.socket) -> int:
    (acknowledged,) = _TCP_INFO.unpack(sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO.size))
    return int(acknowledged)


def _unacknowledged(sock: socket.socket) -> int:
    """Return the number of bytes that the other end has not acknowledged (SIOCOUTQ, tcp(7))."""
    answer = fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, bytes(_INT.size))
    return int(_INT.unpack(answer)[0])


class _Connection(ClientConnection):
    """A connection that reports its transport to a monitor."""

    def __init__(self, monitor: ConnectionMonitor, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401  websockets' own
        super().__init__(*args, **kwargs)
        self._monitor = monitor

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start (`asyncio.Protocol`)."""
        if isinstance(transport, asyncio.Transport):
            self._monitor.made(transport)
        super().connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """End (`asyncio.Protocol`)."""
        self._monitor.lost(self.transport)
        super().connection_lost(exc)
