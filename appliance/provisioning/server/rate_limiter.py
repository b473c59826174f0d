"""Limits how often a name may do something within a minute. Pure.

Each kind of request has its own limiter: wrong claims by claim and address, status requests and refusals by device.
"""

from collections import OrderedDict
from math import ceil
from typing import Final

ALLOWED: Final = 5
WINDOW_S: Final = 60.0
REMEMBERED: Final = 10_000
"""Names that are remembered; one more, and the least recently counted is forgotten."""


class RateLimiter:
    """Counts by name. ``allowed``: requests within `WINDOW_S` without a wait. Times: seconds of one monotonic clock."""

    def __init__(self, allowed: int = ALLOWED) -> None:
        self._allowed = allowed
        self._times: OrderedDict[str, list[float]] = OrderedDict()

    def wait_s(self, name: str, now: float) -> int:
        """Return the seconds that ``name`` has to wait; 0: none."""
        recent = [at for at in self._times.get(name, ()) if now - at < WINDOW_S]
        return ceil(recent[0] + WINDOW_S - now) if len(recent) >= self._allowed else 0

    def add(self, name: str, now: float) -> None:
        """Count one request of ``name``."""
        recent = [at for at in self._times.pop(name, ()) if now - at < WINDOW_S]
        self._times[name] = [*recent, now][-self._allowed :]
        if len(self._times) > REMEMBERED:
            self._times.popitem(last=False)
