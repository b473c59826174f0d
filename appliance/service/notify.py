"""Notifies the service manager; with `appliance.log`, the only importer of ``systemd``.

Protocol: sd_notify(3), sd_watchdog_enabled(3).
"""

import os
from collections.abc import Mapping
from contextlib import suppress

from appliance import log
from appliance.service.ports import ServiceManager


class NoManager:
    """No service manager: started from a terminal or a test."""

    watchdog_s: float | None = None

    def ready(self) -> None:
        """Do nothing."""

    def status(self, text: str) -> None:
        """Do nothing."""

    def watchdog(self) -> None:
        """Do nothing."""

    def stopping(self) -> None:
        """Do nothing."""


class SystemdManager:
    """systemd, through the socket named in ``NOTIFY_SOCKET``. A message that cannot be sent is dropped."""

    def __init__(self, watchdog_s: float | None) -> None:
        """Notify systemd, which expects `watchdog` every ``watchdog_s`` seconds (None: no watchdog).

        Raises:
            ImportError: systemd-python is not installed.
        """
        from systemd.daemon import notify  # noqa: PLC0415  absent on a laptop

        self.watchdog_s = watchdog_s
        self._notify = notify

    def ready(self) -> None:
        """Report that start-up is complete."""
        self._send("READY=1")

    def status(self, text: str) -> None:
        """Show one line in `systemctl status`."""
        self._send(f"STATUS={' '.join(text.split())}")

    def watchdog(self) -> None:
        """Feed the watchdog."""
        self._send("WATCHDOG=1")

    def stopping(self) -> None:
        """Report that shutdown has begun."""
        self._send("STOPPING=1")

    def _send(self, state: str) -> None:
        with suppress(OSError):
            self._notify(state)


def from_environment(environ: Mapping[str, str]) -> ServiceManager:
    """Return the manager that started this process, according to ``environ``."""
    if not environ.get("NOTIFY_SOCKET"):
        return NoManager()
    try:
        return SystemdManager(_watchdog_s(environ))
    except ImportError:
        log.event("service.unmanaged", level="warning", missing="systemd-python")
        return NoManager()


def _watchdog_s(environ: Mapping[str, str]) -> float | None:
    """Return WATCHDOG_USEC in seconds; None if it is absent, malformed or meant for another process."""
    usec = environ.get("WATCHDOG_USEC", "")
    if environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()) or not usec.isdecimal() or not int(usec):
        return None
    return int(usec) / 1_000_000
