"""Talks to the service manager; with `appliance.log`, the only importer of ``systemd``.

Protocol: sd_notify(3), sd_watchdog_enabled(3).
"""

import os
from collections.abc import Mapping

from appliance import log
from appliance.service.ports import ServiceManager


class NoManager:
    """Nobody started us: a terminal, a test."""

    watchdog_s: float | None = None

    def ready(self) -> None:
        """Tell nobody."""

    def status(self, text: str) -> None:
        """Tell nobody."""

    def watchdog(self) -> None:
        """Tell nobody."""

    def stopping(self) -> None:
        """Tell nobody."""


class SystemdManager:
    """systemd, by the socket that it names in ``NOTIFY_SOCKET``. A message that cannot be sent is counted."""

    def __init__(self, watchdog_s: float | None) -> None:
        """Tell systemd, which wants a `watchdog` every ``watchdog_s`` seconds (None: it does not watch).

        Raises:
            ImportError: systemd-python is not installed.
        """
        from systemd.daemon import notify  # noqa: PLC0415  absent where nothing is a service

        self.watchdog_s = watchdog_s
        self.unsent = 0
        self._notify = notify

    def ready(self) -> None:
        """Start-up is complete."""
        self._send("READY=1")

    def status(self, text: str) -> None:
        """Show one line in `systemctl status`."""
        self._send(f"STATUS={' '.join(text.split())}")

    def watchdog(self) -> None:
        """All is well."""
        self._send("WATCHDOG=1")

    def stopping(self) -> None:
        """Shutdown has begun."""
        self._send("STOPPING=1")

    def _send(self, state: str) -> None:
        try:
            self._notify(state)
        except OSError:
            self.unsent += 1


def from_environment(environ: Mapping[str, str]) -> ServiceManager:
    """Return the manager that started this process, as ``environ`` names it."""
    if not environ.get("NOTIFY_SOCKET"):
        return NoManager()
    try:
        return SystemdManager(_watchdog_s(environ))
    except ImportError:
        log.event("service.unmanaged", level="warning", missing="systemd-python")
        return NoManager()


def _watchdog_s(environ: Mapping[str, str]) -> float | None:
    """Return WATCHDOG_USEC in seconds if it is meant for this process; systemd sets it, so what else it is, is none."""
    usec = environ.get("WATCHDOG_USEC", "")
    if environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()) or not usec.isdecimal() or not int(usec):
        return None
    return int(usec) / 1_000_000
