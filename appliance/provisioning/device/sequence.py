"""The sequence number of this device's signed requests, which only grows, also across restarts.

Numbers are reserved in blocks. The file holds the first number after the block, so that a request costs no write to the
SD card; a restart leaves the rest of its block unused. Without the file (no state directory, a full or broken card)
counting begins at 1, and the server's answer says above which number to go on.
"""

from typing import Final

from appliance import log
from appliance.errors import ConfigurationError
from appliance.provisioning.common.protocol import MAX_SEQUENCE
from appliance.storage.private_dir import PrivateDirectory

BLOCK: Final = 1000
FILE_NAME: Final = "provisioning-sequence"


class SequenceCounter:
    """Counts requests. One writer for a directory (None: nothing is stored); for one thread."""

    def __init__(self, directory: PrivateDirectory | None) -> None:
        self._directory = directory
        self._next = max(1, self._load())
        self._reserved_until = self._next

    def next(self) -> int:
        """Return the next number; writes a small file once in `BLOCK` calls."""
        if self._next >= self._reserved_until:
            self._reserved_until = self._next + BLOCK
            self._save()
        number = self._next
        self._next += 1
        return number

    def advance_past(self, number: int) -> None:
        """Go on above ``number``; a lower one changes nothing."""
        self._next = max(self._next, number + 1)

    def _load(self) -> int:
        """Return the stored number; 0 where there is none, or none that is valid."""
        try:
            text = self._directory.read(FILE_NAME) if self._directory else None
            number = int(text or "0")
        except (ConfigurationError, ValueError) as error:
            log.event("provisioning.sequence-unreadable", level="warning", reason=type(error).__name__)
            return 0
        return number if 0 <= number <= MAX_SEQUENCE else 0

    def _save(self) -> None:
        try:
            if self._directory is not None:
                self._directory.write(FILE_NAME, f"{self._reserved_until}\n")
        except ConfigurationError as error:
            log.event("provisioning.sequence-unwritable", level="warning", reason=str(error))
