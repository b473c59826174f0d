"""What people on this machine may ask of the running daemon, over a Unix socket in its runtime directory.

One question a connection, JSON in UTF-8 up to the end of the stream: `Asked`, answered by `Answered`. The directory's
mode decides who may ask; nothing of this is ever on a network.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, StringConstraints, ValidationError

from appliance import log

SOCKET: Final = "intercom"
"""Its name in the runtime directory."""
MAX_QUESTION_BYTES: Final = 16 * 1024
MAX_TEXT: Final = 4_000
"""Characters: some minutes of talk."""
PATIENCE_S: Final = 2.0
"""Whoever takes longer to ask, or to take the answer, is left."""


class Asked(BaseModel):
    """Something that is to be said to the model in writing."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    say: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=MAX_TEXT)]


class Answered(BaseModel):
    """Whether it was done."""

    model_config = ConfigDict(frozen=True)

    why_not: str | None = None
    """One line; None: it was done."""


class ControlSocket:
    """Answers whoever asks, as long as it runs.

    Args:
        directory: The runtime directory; None: nobody can ask.
        say: Does it; returns why it cannot be done, None if it was. Called on the loop's thread.
    """

    def __init__(self, directory: Path | None, say: Callable[[str], str | None]) -> None:
        self._path = None if directory is None else directory / SOCKET
        self._say = say

    async def run(self) -> None:
        """Serve until cancelled. A socket that cannot be made is logged: the household does without it."""
        if self._path is None:
            return
        self._path.unlink(missing_ok=True)
        try:
            server = await asyncio.start_unix_server(self._serve, self._path, limit=MAX_QUESTION_BYTES)
            self._path.chmod(0o660)  # whoever may enter the directory may ask; the daemon's umask lets nobody
        except OSError as error:
            log.event("intercom.absent", level="warning", reason=error.strerror)
            return
        try:
            await server.serve_forever()
        finally:
            self._path.unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(TimeoutError, OSError):
            async with asyncio.timeout(PATIENCE_S):
                writer.write(self._answer(await _question(reader)).model_dump_json().encode())
                await writer.drain()
        writer.close()

    def _answer(self, question: bytes) -> Answered:
        try:
            asked = Asked.model_validate_json(question)
        except ValidationError:
            return Answered(why_not="that is not understood: the two are of different versions")
        return Answered(why_not=self._say(asked.say))


async def _question(reader: asyncio.StreamReader) -> bytes:
    question = bytearray()
    while chunk := await reader.read(MAX_QUESTION_BYTES):
        question += chunk
        if len(question) > MAX_QUESTION_BYTES:
            break
    return bytes(question)
