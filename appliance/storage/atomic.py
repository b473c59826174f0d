"""Files that are there whole or not at all, and a place for those that nobody keeps."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from appliance.errors import ExitCode, InputError


@contextmanager
def temporary_directory() -> Iterator[Path]:
    """Make a directory that is gone afterwards; raises InputError."""
    try:
        directory = tempfile.TemporaryDirectory()
    except OSError as error:
        raise InputError(f"no temporary directory can be made: {error.strerror}", ExitCode.CANNOT_WRITE) from error
    with directory as name:
        yield Path(name)


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file so that a reader never sees a part of it; raises OSError."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
