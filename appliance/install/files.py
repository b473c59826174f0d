"""Files of the machine: written whole or not at all, and brought back."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def put(file: Path, content: bytes) -> None:
    """Write a file that everybody may read, whole or not at all."""
    file.parent.mkdir(parents=True, exist_ok=True)
    new = file.with_name(f".{file.name}.new")
    try:
        with new.open("wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        new.chmod(0o644)
        new.replace(file)
    finally:
        new.unlink(missing_ok=True)


def read(file: Path) -> bytes | None:
    """Return what a file holds; None where it is not there."""
    try:
        return file.read_bytes()
    except FileNotFoundError:
        return None


def bring_back(file: Path, before: bytes | None) -> None:
    """Make a file what `read` has found."""
    if before is None:
        file.unlink(missing_ok=True)
    elif read(file) != before:
        put(file, before)


@contextmanager
def scratch(folder: Path) -> Iterator[Path]:
    """Yield a folder for a while, on the same file system as its parent."""
    folder.mkdir(parents=True, exist_ok=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
