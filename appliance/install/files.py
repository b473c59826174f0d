"""Files of the machine: written whole or not at all, and restored."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from appliance.storage.atomic import write_atomically


def write(file: Path, content: bytes) -> None:
    """Write a file that everybody may read, whole or not at all; makes its folder."""
    file.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(file, content, mode=0o644)


def read(file: Path) -> bytes | None:
    """Return the content of a file; None where there is none."""
    try:
        return file.read_bytes()
    except FileNotFoundError:
        return None


def restore(file: Path, before: bytes | None) -> None:
    """Give a file the content that `read` returned before."""
    if before is None:
        file.unlink(missing_ok=True)
    elif read(file) != before:
        write(file, before)


@contextmanager
def scratch(folder: Path) -> Iterator[Path]:
    """Yield a folder that is gone afterwards, on the same file system as its parent."""
    folder.mkdir(parents=True, exist_ok=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
