"""Files that are there whole or not at all, and a temporary directory."""

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


def write_atomically(path: Path, content: bytes, mode: int = 0o600) -> None:
    """Write a file, or replace it as a whole; it is on the disk when this returns. Raises OSError.

    Until then it has a hidden name, which a power cut may leave behind (see `final_name`). Where root writes it, it
    belongs to the owner of the directory.
    """
    new = path.with_name(f".{path.name}.new")
    new.unlink(missing_ok=True)
    try:
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fchmod(descriptor, mode)
            owner = path.parent.stat()
            if os.geteuid() == 0 and owner.st_uid != 0:
                os.fchown(descriptor, owner.st_uid, owner.st_gid)
            os.fsync(descriptor)
        new.replace(path)
    finally:
        new.unlink(missing_ok=True)
    sync_directory(path.parent)


def final_name(name: str) -> str:
    """Return the name that a file gets in the end, from that or from the one that it has while it is written."""
    return name.removeprefix(".").removesuffix(".new") if name.startswith(".") else name


def sync_directory(directory: Path) -> None:
    """Return once the directory's entries are on the disk; raises OSError."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
