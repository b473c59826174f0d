"""Feeds the service manager's watchdog while the daemon works.

It runs on the loop, so a loop that hangs feeds nothing; everything else that must be alive has a health check.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from appliance import log
from appliance.clock import loop_time
from appliance.service.ports import ServiceManager
from appliance.units import Seconds

FEED_SHARE: Final = 1 / 2
"""Time between two feeds, as a share of the watchdog's interval."""
RETRY_SHARE: Final = 1 / 8
"""The same while a check fails: it may recover before the interval ends."""


class HealthCheck(Protocol):
    """A part without which the daemon is of no use although it runs."""

    @property
    def name(self) -> str:
        """Name in the log."""

    def healthy(self, now: Seconds) -> bool:
        """Return whether the part works; loop thread, returns at once."""


@dataclass(frozen=True, slots=True)
class Freshness:
    """A `HealthCheck` of something periodic: unhealthy once it last happened too long ago."""

    name: str
    last: Callable[[], Seconds | None]
    """Loop time of the last occurrence; None while none is due (before the first, or during a fault)."""
    limit_s: float

    def healthy(self, now: Seconds) -> bool:
        """Return whether the last occurrence is recent, or none is due."""
        last = self.last()
        return last is None or now - last <= self.limit_s


class Watchdog:
    """Feeds while every check passes."""

    def __init__(self, manager: ServiceManager, checks: Sequence[HealthCheck]) -> None:
        self._manager = manager
        self._checks = checks
        self._withheld = False

    async def run(self) -> None:
        """Feed until cancelled; return at once if the manager has no watchdog."""
        watchdog_s = self._manager.watchdog_s
        if watchdog_s is None:
            return
        while True:
            self._check()
            await asyncio.sleep(watchdog_s * (RETRY_SHARE if self._withheld else FEED_SHARE))

    def _check(self) -> None:
        now = loop_time()
        failing = [check.name for check in self._checks if not check.healthy(now)]
        if not failing:
            self._manager.watchdog()
        if failing and not self._withheld:
            log.event("service.watchdog-withheld", level="error", vitals=", ".join(failing))
        elif self._withheld and not failing:
            log.event("service.watchdog-resumed", level="warning")
        self._withheld = bool(failing)
