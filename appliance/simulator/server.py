"""The simulator: one TLS port for both the Live API and the token endpoint."""

import asyncio
import contextlib
import http
import logging
import ssl
from pathlib import Path
from traceback import format_tb
from types import TracebackType
from typing import Final, Self

import trustme

from appliance.clock import timeout
from appliance.errors import ExitCode, InputError
from appliance.simulator import token_endpoint
from appliance.simulator.connection import serve_connection
from appliance.simulator.contract.messages import INTERNAL_ERROR, REASONS
from appliance.simulator.options import SimulatorOptions
from appliance.simulator.record import SessionRecord
from appliance.simulator.service import Service
from appliance.simulator.websocket import WebSocket, read_caller
from appliance.storage.atomic import temporary_directory, write_atomically
from appliance.units import Pcm

_UPGRADE: Final = b"GET "
_FIRST_BYTES_S: Final = 10.0
_CLOSE_S: Final = 1.0
_LOG: Final = logging.getLogger(__name__)


class Simulator:
    """A Live service that runs inside ``async with``; leaving ends every connection at once.

    Entering raises InputError if a directory or a reply cannot be used, or the port is taken.
    """

    def __init__(self, options: SimulatorOptions | None = None) -> None:
        self._options = options or SimulatorOptions()
        self._tasks = asyncio.TaskGroup()
        self._connections: set[asyncio.Task[None]] = set()

    @property
    def base_url(self) -> str:
        """The base URL for clients, in place of Google's."""
        return f"https://{self._options.address}:{self._port}"

    @property
    def ca_file(self) -> Path:
        """The certificate authority that clients must trust, PEM."""
        return self._ca_file

    @property
    def sessions(self) -> list[SessionRecord]:
        """The records of the last 100 connections, in the order of their set-ups; running ones included."""
        return self._service.sessions

    def received(self, session: int) -> Pcm:
        """Return the samples received in a session (`SessionRecord.session`) over all its connections; 16 kHz mono."""
        return self._service.received(session)

    async def __aenter__(self) -> Self:
        async with contextlib.AsyncExitStack() as stack:
            self._service = Service(self._options, asyncio.get_running_loop().time)
            directory = self._options.directory or stack.enter_context(temporary_directory())
            self._ca_file = directory / "ca.pem"
            self._server = await self._bind(_make_certificate(self._ca_file, self._options.address))
            self._port = self._server.sockets[0].getsockname()[1]
            await self._tasks.__aenter__()
            stack.push_async_exit(self._finish)
            stack.callback(self._cancel_connections)
            stack.callback(self._server.close)
            await self._server.start_serving()
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        return await self._stack.__aexit__(kind, error, traceback)

    async def _bind(self, tls: ssl.SSLContext) -> asyncio.Server:
        host, port = self._options.address, self._options.port
        try:
            return await asyncio.start_server(self._accept, host, port, ssl=tls, start_serving=False)
        except OSError as error:
            raise InputError(f"cannot listen on {host}, port {port}: {error.strerror}", ExitCode.UNAVAILABLE) from error

    async def _finish(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Wait for all connections; an error of the body of ``async with`` is not wrapped in a group."""
        if isinstance(error, asyncio.CancelledError):
            await self._tasks.__aexit__(kind, error, traceback)
        else:
            await self._tasks.__aexit__(None, None, None)

    def _cancel_connections(self) -> None:
        for connection in self._connections:
            connection.cancel()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not self._server.is_serving():
            writer.transport.abort()  # its TLS handshake ended after the simulator did
            return
        if len(self._connections) >= self._options.max_connections:
            _LOG.warning("connection refused: %d are open already", len(self._connections))
            writer.transport.abort()
            return
        connection = self._tasks.create_task(self._serve(reader, writer))
        self._connections.add(connection)
        connection.add_done_callback(self._connections.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection, by its first bytes as a WebSocket or as REST; a failure in it affects no other."""
        try:
            method = await _method(reader)
            if method == _UPGRADE:
                await self._serve_live(WebSocket(reader, writer, method, self._options))
            elif method:
                await token_endpoint.serve(reader, writer, method, self._service)
            writer.close()
            with contextlib.suppress(TimeoutError, OSError):
                async with timeout(_CLOSE_S):
                    await writer.wait_closed()
        except Exception as error:  # noqa: BLE001  a task root
            _log_failure(error)
        finally:
            # Python 3.11.2, which Debian 12 has, raises this for a TLS connection that is closed already.
            with contextlib.suppress(AttributeError):
                writer.transport.abort()

    async def _serve_live(self, socket: WebSocket) -> None:
        request = await socket.request()
        if request is None:
            return
        caller = read_caller(request, self._options.api_versions)
        if caller is None:
            await socket.refuse(http.HTTPStatus.NOT_FOUND)
            return
        try:
            await serve_connection(socket, caller, self._service)
        except ExceptionGroup as error:
            _log_failure(error)
            await socket.close(INTERNAL_ERROR, REASONS[INTERNAL_ERROR])
            while await socket.receive() is not None:
                pass  # messages before the client's own close frame are ignored


def _log_failure(error: Exception) -> None:
    """Log the error's type and traceback, without its message, which may quote the client."""
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    where = "".join(format_tb(error.__traceback__)).rstrip()
    _LOG.error("a connection has failed: %s\n%s", type(error).__name__, where)


def _make_certificate(ca_file: Path, address: str) -> ssl.SSLContext:
    """Write a new certificate authority; return a context with its certificate for ``address`` and localhost."""
    authority = trustme.CA(organization_name="Voice appliance simulator")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*{address, "127.0.0.1", "localhost"}).configure_cert(context)
    try:
        write_atomically(ca_file, authority.cert_pem.bytes())
    except OSError as error:
        raise InputError(f"cannot write into {ca_file.parent}: {error.strerror}", ExitCode.CANNOT_WRITE) from error
    return context


async def _method(reader: asyncio.StreamReader) -> bytes:
    """Return the first four bytes: ``GET ``, another method, or not HTTP; empty if none come in time."""
    try:
        async with asyncio.timeout(_FIRST_BYTES_S):
            return await reader.readexactly(len(_UPGRADE))
    except (TimeoutError, OSError, asyncio.IncompleteReadError):
        return b""
