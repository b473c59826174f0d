"""Feeds the service manager's watchdog as long as the daemon really works.

It runs on the loop, so a loop that hangs feeds nothing; what else must be alive is passed in as vitals.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from appliance import log
from appliance.service.ports import ServiceManager
from appliance.units import Seconds

FED: Final = 1 / 2
"""Share of the watchdog's time until the next feed."""
WITHHELD: Final = 1 / 8
"""Share of it until the next look at vitals that are not well: they may recover before the time is over."""


class HealthCheck(Protocol):
    """Something without which the daemon is dead though it runs."""

    @property
    def name(self) -> str:
        """For the log."""

    def healthy(self, now: Seconds) -> bool:
        """Tell whether it works; loop thread, returns at once."""


@dataclass(frozen=True, slots=True)
class Freshness:
    """The `HealthCheck` of something that happens again and again: it is dead when the last time is too long ago."""

    name: str
    last: Callable[[], Seconds | None]
    """Loop time of the last time; None while none is to be expected (before the first, or while a fault lasts)."""
    limit_s: float

    def healthy(self, now: Seconds) -> bool:
        """Tell whether the last time is recent, or none is due."""
        last = self.last()
        return last is None or now - last <= self.limit_s


class Watchdog:
    """Feeds while every vital is healthy."""

    def __init__(self, manager: ServiceManager, vitals: Sequence[HealthCheck]) -> None:
        self._manager = manager
        self._vitals = vitals
        self._withheld = False

    async def run(self) -> None:
        """Feed until cancelled; return at once where nobody watches."""
        watchdog_s = self._manager.watchdog_s
        if watchdog_s is None:
            return
        while True:
            self._look()
            await asyncio.sleep(watchdog_s * (WITHHELD if self._withheld else FED))

    def _look(self) -> None:
        now = Seconds(asyncio.get_running_loop().time())
        ill = [vital.name for vital in self._vitals if not vital.healthy(now)]
        if not ill:
            self._manager.watchdog()
        if ill and not self._withheld:
            log.event("service.watchdog-withheld", level="error", vitals=", ".join(ill))
        elif self._withheld and not ill:
            log.event("service.watchdog-resumed", level="warning")
        self._withheld = bool(ill)
