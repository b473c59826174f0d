"""The directory in which a device keeps its identity: small private files, safe against a power cut."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from appliance import log
from appliance.errors import ConfigurationError, ExitCode, InputError
from appliance.permissions import chmod_advice, others_may_read
from appliance.storage.atomic import sync_directory, write_atomically

DEFAULT: Final = Path("/var/lib/voice-appliance")
"""The daemon's state directory under systemd."""
VARIABLE: Final = "STATE_DIRECTORY"
"""The variable in which systemd names it."""
_MAX_BYTES: Final = 64 * 1024
"""Longer than anything that is kept here."""


def state_directory() -> Path:
    """Return the directory that systemd has made for us, or would make."""
    return Path(os.environ.get(VARIABLE) or DEFAULT)


class PrivateDirectory:
    """One directory; its files are readable by its owner only. Every method raises ConfigurationError on an OSError."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self, name: str) -> str | None:
        """Return the content of a file; None where there is none."""
        try:
            with (self.path / name).open("rb") as stream:
                return stream.read(_MAX_BYTES).decode("ascii", "replace")
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise self._unusable(name, error) from error

    def write(self, name: str, content: str) -> None:
        """Write a file, or replace it as a whole; it is on the disk when this returns. Makes the directory."""
        try:
            self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
            write_atomically(self.path / name, content.encode("ascii"))
        except OSError as error:
            raise self._unusable(name, error) from error

    def remove(self, name: str) -> None:
        """Remove a file, if it is there."""
        try:
            (self.path / name).unlink(missing_ok=True)
            sync_directory(self.path)
        except (FileNotFoundError, NotADirectoryError):
            return
        except OSError as error:
            raise self._unusable(name, error) from error

    def names(self) -> list[str]:
        """Return the names of all files, in order."""
        try:
            return sorted(entry.name for entry in self.path.iterdir() if entry.is_file())
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            raise self._unusable("", error) from error

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other programs from signing with this identity: two counters of one key look like a cloned device.

        Raises:
            InputError: Another program holds the lock.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
            descriptor = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        except OSError as error:
            raise self._unusable("", error) from error
        if others_may_read(self.path):
            log.event(
                "provisioning.state-exposed", level="warning", directory=self.path, advice=chmod_advice(self.path)
            )
        try:
            self._lock(descriptor)
            yield
        finally:
            os.close(descriptor)

    def _lock(self, descriptor: int) -> None:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(
                f"another program uses the identity in {self.path}: if that is the daemon, "
                "systemctl stop appliance, do this, and systemctl start appliance",
                ExitCode.UNAVAILABLE,
            ) from None
        except OSError as error:
            raise self._unusable("", error) from error

    def _unusable(self, name: str, error: OSError) -> ConfigurationError:
        return ConfigurationError(f"{self.path / name} cannot be used: {error.strerror}")
