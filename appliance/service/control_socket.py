"""The control socket: commands to the running daemon, over a Unix socket in its runtime directory.

One request per connection, JSON in UTF-8 up to the end of the stream: a `ControlRequest`, answered by a
`ControlResponse`. The mode of the directory decides who may connect; nothing of this is ever on a network.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, StringConstraints, TypeAdapter, ValidationError

from appliance import log
from appliance.service.status import DaemonStatus

SOCKET: Final = "intercom"
"""File name in the runtime directory."""
MAX_REQUEST_BYTES: Final = 16 * 1024
MAX_RESPONSE_BYTES: Final = 64 * 1024
MAX_TEXT: Final = 4_000
"""Characters: a few minutes of speech."""
TIMEOUT_S: Final = 2.0
"""A client that takes longer to send its request and read the response is disconnected."""


class _Request(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class SayRequest(_Request):
    """Text to send to the model."""

    say: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=MAX_TEXT)]


class StatusRequest(_Request):
    """Asks how the daemon stands."""

    show: Literal["status"] = "status"


ControlRequest = SayRequest | StatusRequest
_REQUEST: Final = TypeAdapter[ControlRequest](ControlRequest)


class ControlResponse(BaseModel):
    """Whether the request was carried out, and its result."""

    model_config = ConfigDict(frozen=True)

    why_not: str | None = None
    """The reason it was not, in one line; None on success."""
    status: DaemonStatus | None = None
    """The result of a `StatusRequest`."""


class ControlSocket:
    """Serves the control socket.

    Args:
        directory: The runtime directory; None: no socket.
        say: Carries a request out and returns None, or the reason why it cannot. Called on the loop's thread.
        status: Returns how the daemon stands. Called on the loop's thread.
    """

    def __init__(
        self, directory: Path | None, say: Callable[[str], str | None], status: Callable[[], DaemonStatus]
    ) -> None:
        self._path = None if directory is None else directory / SOCKET
        self._say = say
        self._status = status

    async def run(self) -> None:
        """Serve until cancelled. A socket that cannot be created is logged; the daemon runs without it."""
        if self._path is None:
            return
        try:
            self._path.unlink(missing_ok=True)
            server = await asyncio.start_unix_server(self._serve, self._path, limit=MAX_REQUEST_BYTES)
            self._path.chmod(0o660)  # the directory decides who may connect; the daemon's umask would allow nobody
        except OSError as error:
            log.event("intercom.absent", level="warning", reason=error.strerror)
            return
        try:
            await server.serve_forever()
        finally:
            self._path.unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with suppress(TimeoutError, OSError):
                async with asyncio.timeout(TIMEOUT_S):
                    writer.write(self._respond(await _read(reader)).model_dump_json().encode())
                    await writer.drain()
        finally:
            writer.close()

    def _respond(self, content: bytes) -> ControlResponse:
        try:
            request = _REQUEST.validate_json(content)
        except ValidationError:
            return ControlResponse(why_not="the request is invalid: command and daemon are of different versions")
        match request:
            case SayRequest(say=text):
                return ControlResponse(why_not=self._say(text))
            case StatusRequest():
                return ControlResponse(status=self._status())


async def _read(reader: asyncio.StreamReader) -> bytes:
    content = bytearray()
    while chunk := await reader.read(MAX_REQUEST_BYTES):
        content += chunk
        if len(content) > MAX_REQUEST_BYTES:
            break
    return bytes(content)
