"""The sequence number of this device's signed requests: it only grows, also across restarts.

Numbers are taken in blocks. The file holds the first number after the block, so that a request costs no write to the
card; a restart leaves the rest of its block unused. Wherever the file cannot be had (no state directory, a full or
broken card) counting begins at 1, and the server's answer says above which number to go on.
"""

from typing import Final

from appliance import log
from appliance.errors import ConfigurationError
from appliance.provisioning.common.protocol import MAX_SEQUENCE
from appliance.storage.private_dir import PrivateDirectory

BLOCK: Final = 1000
FILE_NAME: Final = "provisioning-sequence"


class SequenceCounter:
    """Hands out numbers. One writer for a directory (None: nothing is kept); not for use by several threads."""

    def __init__(self, directory: PrivateDirectory | None) -> None:
        self._directory = directory
        self._next = max(1, self._kept())
        self._reserved_until = self._next

    def take(self) -> int:
        """Return the next number; writes a small file once in `BLOCK` calls."""
        if self._next >= self._reserved_until:
            self._reserved_until = self._next + BLOCK
            self._keep()
        number = self._next
        self._next += 1
        return number

    def go_above(self, number: int) -> None:
        """Hand out only numbers above ``number`` from now on; a lower one changes nothing."""
        self._next = max(self._next, number + 1)

    def _kept(self) -> int:
        """Return what the file holds; 0 where it holds nothing of use."""
        try:
            text = self._directory.read(FILE_NAME) if self._directory else None
            number = int(text or "0")
        except (ConfigurationError, ValueError) as error:
            log.event("provisioning.sequence-unreadable", level="warning", reason=type(error).__name__)
            return 0
        return number if 0 <= number <= MAX_SEQUENCE else 0

    def _keep(self) -> None:
        try:
            if self._directory is not None:
                self._directory.write(FILE_NAME, f"{self._reserved_until}\n")
        except ConfigurationError as error:
            log.event("provisioning.sequence-unwritable", level="warning", reason=str(error))
