"""What the daemon tells the service manager that started it."""

from typing import Protocol


class ServiceManager(Protocol):
    """systemd, or nobody."""

    watchdog_s: float | None
    """How often it wants to hear from us at least; None where it does not watch."""

    def ready(self) -> None:
        """Start-up is complete."""

    def status(self, text: str) -> None:
        """One line for `systemctl status`."""

    def watchdog(self) -> None:
        """All is well."""

    def stopping(self) -> None:
        """Shutdown has begun."""
