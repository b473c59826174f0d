"""The demo's output files, checked before it starts, and its standard output."""

import io
import os
import stat
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from itertools import combinations
from pathlib import Path
from typing import TextIO

from appliance.errors import ExitCode, InputError


def check_outputs(outputs: Iterable[Path], recording: Path | None) -> None:
    """Check the files to write, and make missing directories; ``recording`` is read and must not be overwritten.

    Raises:
        InputError: A file cannot be written, or two are the same.
    """
    outputs = list(outputs)
    for path in outputs:
        _check(path)
    read = [recording] if recording is not None else []
    for one, other in combinations([*read, *outputs], 2):
        if _is_same(one, other):
            raise InputError(f"{other} would overwrite {one}: name another file", ExitCode.CANNOT_WRITE)


def _check(path: Path) -> None:
    directory = path.parent
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = "it is not a directory" if isinstance(error, FileExistsError) else error.strerror
        raise InputError(f"cannot make the directory {directory}: {reason}", ExitCode.CANNOT_WRITE) from error
    try:
        with suppress(FileNotFoundError):
            if not stat.S_ISREG(path.stat().st_mode):
                raise InputError(f"{path} is not a regular file: choose another name", ExitCode.CANNOT_WRITE)
        with suppress(FileNotFoundError):
            _part(path).stat()  # the longer name may be too long
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}", ExitCode.CANNOT_WRITE) from error
    if not os.access(directory, os.W_OK | os.X_OK):
        raise InputError(f"cannot write in {directory}: choose another directory", ExitCode.CANNOT_WRITE)


def _is_same(one: Path, other: Path) -> bool:
    if one.exists() and other.exists():
        return one.samefile(other)
    return one.resolve() == other.resolve()


@contextmanager
def temporary_directory() -> Iterator[Path]:
    """Make a directory that is deleted afterwards; raises InputError."""
    try:
        directory = tempfile.TemporaryDirectory(prefix="appliance-demo-")
    except OSError as error:
        raise InputError(f"cannot make a temporary directory: {error.strerror}", ExitCode.CANNOT_WRITE) from error
    with directory as name:
        yield Path(name)


def write_output(path: Path, content: bytes) -> None:
    """Write a file, complete or not at all; raises InputError."""
    part = _part(path)
    try:
        try:
            part.write_bytes(content)
            part.replace(path)
        except OSError:
            part.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}", ExitCode.CANNOT_WRITE) from error


def _part(path: Path) -> Path:
    """Return the name of a file until it is complete."""
    return path.with_name(f".{path.name}.part")


class BestEffortStdout(io.TextIOBase):
    """Text output to a stream that may go away, as with ``| head -1`` or a full disk; then the text is discarded."""

    def __init__(self, stream: TextIO | None) -> None:
        """``stream`` is None if the process was started without one."""
        self._stream = stream

    @property
    def encoding(self) -> str:  # type: ignore[override]  # an attribute for the type checker, read-only in C
        """The stream's encoding."""
        return "utf-8" if self._stream is None else self._stream.encoding

    def isatty(self) -> bool:
        """Return whether the stream is a terminal."""
        return self._stream is not None and self._stream.isatty()

    def fileno(self) -> int:
        """Return the stream's file descriptor."""
        return super().fileno() if self._stream is None else self._stream.fileno()

    def write(self, text: str) -> int:
        """Write if possible; return the length of the text in any case."""
        self._try(lambda stream: stream.write(text))
        return len(text)

    def flush(self) -> None:
        """Flush if possible."""
        self._try(lambda stream: stream.flush())

    def _try(self, act: Callable[[TextIO], object]) -> None:
        if self._stream is None or self._stream.closed:
            return
        try:
            act(self._stream)
        except OSError:
            # Redirect the stream itself, too: the interpreter flushes it at exit.
            with Path(os.devnull).open("wb") as null:
                os.dup2(null.fileno(), self._stream.fileno())
