"""The files that a demo is to write, checked before it is held: a conversation in vain helps nobody."""

import os
from collections.abc import Iterable
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
    if path.exists() and not path.is_file():
        raise InputError(f"{path} is not a file: name a file to write", ExitCode.CANNOT_WRITE)
    folder = path.parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = "it is not a folder" if isinstance(error, FileExistsError) else error.strerror
        raise InputError(f"the folder {folder} cannot be made: {reason}", ExitCode.CANNOT_WRITE) from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise InputError(f"nothing can be written in {folder}: choose another place", ExitCode.CANNOT_WRITE)


def _is_same(one: Path, other: Path) -> bool:
    if one.exists() and other.exists():
        return one.samefile(other)
    return one.resolve() == other.resolve()


def write_output(path: Path, content: bytes) -> None:
    """Write a file that is there whole or not at all.

    Raises:
        InputError: It cannot be written.
    """
    part = path.with_name(f".{path.name}.part")
    try:
        try:
            part.write_bytes(content)
            part.replace(path)
        except OSError:
            part.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror}", ExitCode.CANNOT_WRITE) from error
