"""The directory in which a device keeps its identity: small private files that a power cut leaves as they were."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from appliance import log
from appliance.errors import ConfigurationError, ExitCode, InputError
from appliance.private import advice, others_may_read

DEFAULT: Final = Path("/var/lib/voice-appliance")
"""Where the unit has the daemon's state directory."""
VARIABLE: Final = "STATE_DIRECTORY"
"""In which systemd names it."""
_MAX_BYTES: Final = 64 * 1024
"""More than anything that is kept here."""


def state_directory() -> Path:
    """Return the directory that systemd has made for us, or else would make."""
    return Path(os.environ.get(VARIABLE) or DEFAULT)


class PrivateDirectory:
    """One directory; its files are readable by its owner only. Raises ConfigurationError where it cannot be used."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def read(self, name: str) -> str | None:
        """Return what a file holds; None where there is none."""
        try:
            with (self.directory / name).open("rb") as stream:
                return stream.read(_MAX_BYTES).decode("ascii", "replace")
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise self._unusable(name, error) from error

    def put(self, name: str, content: str) -> None:
        """Write a file, or replace it as a whole; it is on the card when this returns. Makes the directory."""
        try:
            self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            new = self.directory / f"{name}.new"
            new.unlink(missing_ok=True)
            descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w", encoding="ascii") as stream:
                stream.write(content)
                stream.flush()
                self._give_to_owner(stream.fileno())
                os.fsync(stream.fileno())
            new.replace(self.directory / name)
            self._settle()
        except OSError as error:
            raise self._unusable(name, error) from error

    def remove(self, name: str) -> None:
        """Remove a file, if it is there."""
        try:
            (self.directory / name).unlink(missing_ok=True)
            self._settle()
        except (FileNotFoundError, NotADirectoryError):
            return
        except OSError as error:
            raise self._unusable(name, error) from error

    def names(self) -> list[str]:
        """Return the names of all files, in order."""
        try:
            return sorted(entry.name for entry in self.directory.iterdir() if entry.is_file())
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            raise self._unusable("", error) from error

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other programs from signing with this identity: two that count for themselves look like a clone.

        Raises:
            InputError: Another one does.
        """
        try:
            self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            descriptor = os.open(self.directory, os.O_RDONLY | os.O_DIRECTORY)
        except OSError as error:
            raise self._unusable("", error) from error
        if others_may_read(self.directory):
            log.event(
                "provisioning.state-exposed", level="warning", directory=self.directory, advice=advice(self.directory)
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
                f"another program uses the identity in {self.directory}: if that is the daemon, "
                "systemctl stop appliance, do this, and systemctl start appliance",
                ExitCode.UNAVAILABLE,
            ) from None
        except OSError as error:
            raise self._unusable("", error) from error

    def _give_to_owner(self, descriptor: int) -> None:
        """Give a file to whom the directory belongs: root may have started us, and the daemon is another user."""
        owner = self.directory.stat()
        if os.geteuid() == 0 and owner.st_uid != 0:
            os.fchown(descriptor, owner.st_uid, owner.st_gid)

    def _settle(self) -> None:
        """Have the names on the card, too."""
        descriptor = os.open(self.directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def _unusable(self, name: str, error: OSError) -> ConfigurationError:
        return ConfigurationError(f"{self.directory / name} cannot be used: {error.strerror}")
