"""The simulator: one TLS port that is the token endpoint and the Live API at once."""

import asyncio
import contextlib
import http
import logging
from pathlib import Path
from traceback import format_tb
from types import TracebackType
from typing import Final, Self

from appliance.errors import ExitCode, InputError
from appliance.simulator import token_endpoint
from appliance.simulator.certificates import Certificate, issue
from appliance.simulator.connection import conduct
from appliance.simulator.contract.messages import INTERNAL_ERROR, REASONS
from appliance.simulator.options import SimulatorOptions
from appliance.simulator.record import SessionRecord
from appliance.simulator.service import Service
from appliance.simulator.transport.upgrade import read_caller
from appliance.simulator.transport.websocket import WebSocket
from appliance.storage.atomic import temporary_directory
from appliance.timeout import timeout
from appliance.units import Pcm

_UPGRADE: Final = b"GET "
_FIRST_BYTES_S: Final = 10.0
_HANG_UP_S: Final = 1.0
_LOG: Final = logging.getLogger(__name__)


class Simulator:
    """A Live service; it runs inside ``async with``, and leaving ends every connection at once.

    Entering raises InputError where a directory or a reply cannot be used, or the port is taken.
    """

    def __init__(self, options: SimulatorOptions | None = None) -> None:
        self._options = options or SimulatorOptions()
        self._tasks = asyncio.TaskGroup()
        self._connections: set[asyncio.Task[None]] = set()

    @property
    def base_url(self) -> str:
        """What clients are to use for Google's base address."""
        return f"https://{self._options.address}:{self._port}"

    @property
    def ca_file(self) -> Path:
        """The authority that clients are to trust, PEM."""
        return self._ca_file

    @property
    def sessions(self) -> list[SessionRecord]:
        """What happened, connection by connection in the order of their set-ups, running ones too; the last 100."""
        return self._service.sessions

    def received(self, session: int) -> Pcm:
        """Return the samples received in a session, over all its connections in order; 16 kHz mono.

        ``session`` is `SessionRecord.session`: the number of its first connection.
        """
        return self._service.received(session)

    async def __aenter__(self) -> Self:
        async with contextlib.AsyncExitStack() as stack:
            self._service = Service(self._options, asyncio.get_running_loop().time)
            directory = self._options.directory or stack.enter_context(temporary_directory())
            certificate = _certificate(directory, self._options.address)
            self._ca_file = certificate.ca_file
            self._server = await self._bind(certificate)
            self._port = self._server.sockets[0].getsockname()[1]
            await self._tasks.__aenter__()
            stack.push_async_exit(self._finish)
            stack.callback(self._hang_up)
            stack.callback(self._server.close)
            await self._server.start_serving()
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        return await self._stack.__aexit__(kind, error, traceback)

    async def _bind(self, certificate: Certificate) -> asyncio.Server:
        host, port = self._options.address, self._options.port
        try:
            return await asyncio.start_server(self._accept, host, port, ssl=certificate.context, start_serving=False)
        except OSError as error:
            raise InputError(f"cannot listen on {host}, port {port}: {error.strerror}", ExitCode.UNAVAILABLE) from error

    async def _finish(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Wait for all connections; what the body of ``async with`` raised stays as it is, not wrapped in a group."""
        if isinstance(error, asyncio.CancelledError):
            await self._tasks.__aexit__(kind, error, traceback)
        else:
            await self._tasks.__aexit__(None, None, None)

    def _hang_up(self) -> None:
        for connection in self._connections:
            connection.cancel()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not self._server.is_serving():
            writer.transport.abort()  # its TLS handshake ended after the simulator did
            return
        if len(self._connections) >= self._options.max_connections:
            _LOG.warning("connection refused: there are %d already", len(self._connections))
            writer.transport.abort()
            return
        connection = self._tasks.create_task(self._serve(reader, writer))
        self._connections.add(connection)
        connection.add_done_callback(self._connections.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Hold one connection; its first bytes say what it is. What fails in it ends no other."""
        try:
            method = await _method(reader)
            if method == _UPGRADE:
                await self._serve_live(WebSocket(reader, writer, method, self._options))
            elif method:
                await token_endpoint.serve(reader, writer, method, self._service)
            writer.close()
            with contextlib.suppress(TimeoutError, OSError):
                async with timeout(_HANG_UP_S):
                    await writer.wait_closed()
        except Exception as error:  # noqa: BLE001  a task root
            _log_fault(error)
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
            await conduct(socket, caller, self._service)
        except ExceptionGroup as error:
            _log_fault(error)
            await socket.close(INTERNAL_ERROR, REASONS[INTERNAL_ERROR])
            while await socket.receive() is not None:
                pass  # what comes before the client's own close frame does not count


def _log_fault(error: Exception) -> None:
    """Say what has failed and where, without the message: it may repeat what a client has sent."""
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    where = "".join(format_tb(error.__traceback__)).rstrip()
    _LOG.error("a connection has failed: %s\n%s", type(error).__name__, where)


def _certificate(directory: Path, address: str) -> Certificate:
    try:
        return issue(directory, address)
    except OSError as error:
        raise InputError(f"cannot write into {directory}: {error.strerror}", ExitCode.CANNOT_WRITE) from error


async def _method(reader: asyncio.StreamReader) -> bytes:
    """Return the first four bytes: ``GET `` or another method, or what is no HTTP; empty where none come."""
    try:
        async with asyncio.timeout(_FIRST_BYTES_S):
            return await reader.readexactly(len(_UPGRADE))
    except (TimeoutError, OSError, asyncio.IncompleteReadError):
        return b""
