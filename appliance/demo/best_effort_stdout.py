"""A standard output that may go away, as with ``| head -1`` or a full disk: the conversation goes on without it."""

import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import TextIO


class BestEffortStdout(io.TextIOBase):
    """Text on another stream; once that takes no more, it goes nowhere and nobody is disturbed."""

    def __init__(self, stream: TextIO | None) -> None:
        """``stream`` is None where the process was started without one."""
        self._stream = stream

    @property
    def encoding(self) -> str:  # type: ignore[override]  # an attribute for the type checker, read-only in C
        """That of the stream."""
        return "utf-8" if self._stream is None else self._stream.encoding

    def isatty(self) -> bool:
        """Tell whether somebody sits before it."""
        return self._stream is not None and self._stream.isatty()

    def fileno(self) -> int:
        """Return the stream's file descriptor."""
        return super().fileno() if self._stream is None else self._stream.fileno()

    def write(self, text: str) -> int:
        """Write, if that is still possible; return the length of the text in any case."""
        self._try(lambda stream: stream.write(text))
        return len(text)

    def flush(self) -> None:
        """Flush, if that is still possible."""
        self._try(lambda stream: stream.flush())

    def _try(self, act: Callable[[TextIO], object]) -> None:
        if self._stream is None or self._stream.closed:
            return
        try:
            act(self._stream)
        except OSError:
            # The stream itself, too, is led nowhere: the interpreter flushes it when it ends.
            with Path(os.devnull).open("wb") as nowhere:
                os.dup2(nowhere.fileno(), self._stream.fileno())
