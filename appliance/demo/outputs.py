"""The files that a demo is to write, checked before it is held: a conversation in vain helps nobody."""

import os
import stat
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from itertools import combinations
from pathlib import Path

from appliance.errors import ExitCode, InputError


def check_outputs(outputs: Iterable[Path], recording: Path | None) -> None:
    """Make the folders that are missing; ``recording``, which is read, is not to be overwritten.

    Raises:
        InputError: One cannot be written, or two are the same; the message says which.
    """
    outputs = list(outputs)
    for path in outputs:
        _check(path)
    read = [recording] if recording is not None else []
    for one, other in combinations([*read, *outputs], 2):
        if _is_same(one, other):
            raise InputError(f"{other} would overwrite {one}: name another file", ExitCode.CANNOT_WRITE)


def _check(path: Path) -> None:
    folder = path.parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = "it is not a folder" if isinstance(error, FileExistsError) else error.strerror
        raise InputError(f"the folder {folder} cannot be made: {reason}", ExitCode.CANNOT_WRITE) from error
    try:
        with suppress(FileNotFoundError):
            if not stat.S_ISREG(path.stat().st_mode):
                raise InputError(f"{path} is not a file: name a file to write", ExitCode.CANNOT_WRITE)
        with suppress(FileNotFoundError):
            _part(path).stat()  # its name, which is longer, may be too long
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror}", ExitCode.CANNOT_WRITE) from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise InputError(f"nothing can be written in {folder}: choose another place", ExitCode.CANNOT_WRITE)


def _is_same(one: Path, other: Path) -> bool:
    if one.exists() and other.exists():
        return one.samefile(other)
    return one.resolve() == other.resolve()


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """Make a folder that is gone afterwards; raises InputError."""
    try:
        folder = tempfile.TemporaryDirectory(prefix="appliance-demo-")
    except OSError as error:
        raise InputError(f"no temporary folder can be made: {error.strerror}", ExitCode.CANNOT_WRITE) from error
    with folder as name:
        yield Path(name)


def write_output(path: Path, content: bytes) -> None:
    """Write a file that is there whole or not at all.

    Raises:
        InputError: It cannot be written.
    """
    part = _part(path)
    try:
        try:
            part.write_bytes(content)
            part.replace(path)
        except OSError:
            part.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror}", ExitCode.CANNOT_WRITE) from error


def _part(path: Path) -> Path:
    """Return the name that a file has until it is whole."""
    return path.with_name(f".{path.name}.part")
