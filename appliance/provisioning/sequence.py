"""The sequence number of this device's signed requests: it only grows, also across restarts.

Numbers are taken in blocks. The file holds the first number after the block, so that a request costs no write to the
card; a restart leaves the rest of its block unused. Wherever the file cannot be had (no state directory, a full or
broken card) counting begins at 1, and the server's answer says above which number to go on.
"""

import logging
import os
from pathlib import Path
from typing import Final

from appliance.provisioning.protocol import MAX_SEQUENCE

BLOCK: Final = 1000
FILE_NAME: Final = "provisioning-sequence"

_log = logging.getLogger(__name__)


class SequenceCounter:
    """Hands out numbers. One writer for a directory; not for use by several threads."""

    def __init__(self, directory: Path | None) -> None:
        self._file = directory / FILE_NAME if directory else None
        self._next = max(1, _read(self._file))
        self._reserved_until = self._next

    def take(self) -> int:
        """Return the next number; writes a small file once in `BLOCK` calls."""
        if self._next >= self._reserved_until:
            self._reserved_until = self._next + BLOCK
            _write(self._file, self._reserved_until)
        number = self._next
        self._next += 1
        return number

    def go_above(self, number: int) -> None:
        """Hand out only numbers above ``number`` from now on; a lower one changes nothing."""
        self._next = max(self._next, number + 1)


def _read(file: Path | None) -> int:
    """Return what the file holds; 0 where it holds nothing of use."""
    if file is None or not file.exists():
        return 0
    try:
        number = int(file.read_bytes()[:20])
    except (OSError, ValueError) as error:
        _log.warning("%s cannot be used (%s): asking the server for the sequence number", file, type(error).__name__)
        return 0
    return number if 0 <= number <= MAX_SEQUENCE else 0


def _write(file: Path | None, number: int) -> None:
    if file is None:
        return
    temporary = file.with_suffix(".new")
    try:
        with temporary.open("w", encoding="ascii") as stream:
            stream.write(f"{number}\n")
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(file)
    except OSError as error:
        _log.warning("%s cannot be written: %s", file, error.strerror)
