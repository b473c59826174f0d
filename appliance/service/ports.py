"""The port to the service manager that started the daemon."""

from typing import Protocol


class ServiceManager(Protocol):
    """systemd, or none."""

    watchdog_s: float | None
    """Longest time between two `watchdog` calls, in seconds; None if the manager has no watchdog."""

    def ready(self) -> None:
        """Report that start-up is complete."""

    def status(self, text: str) -> None:
        """Show one line in `systemctl status`."""

    def watchdog(self) -> None:
        """Feed the watchdog."""

    def stopping(self) -> None:
        """Report that shutdown has begun."""
