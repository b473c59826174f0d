"""Who has done something too often of late that nobody needs to do often. Pure.

Each kind has counts of its own, so that one never stands in the way of another: wrong claims, by claim and address;
questions and refusals, by device.
"""

from collections import OrderedDict
from math import ceil
from typing import Final

ALLOWED: Final = 5
WINDOW_S: Final = 60.0
REMEMBERED: Final = 10_000
"""Names; when there are more, the one that failed least recently is forgotten."""


class RateLimiter:
    """Counts by name; times are seconds of one monotonic clock. ``allowed``: in `WINDOW_S`, without a wait."""

    def __init__(self, allowed: int = ALLOWED) -> None:
        self._allowed = allowed
        self._times: OrderedDict[str, list[float]] = OrderedDict()

    def wait_s(self, name: str, now: float) -> int:
        """Return how long ``name`` has to wait, in whole seconds; 0: not at all."""
        recent = [at for at in self._times.get(name, ()) if now - at < WINDOW_S]
        return ceil(recent[0] + WINDOW_S - now) if len(recent) >= self._allowed else 0

    def add(self, name: str, now: float) -> None:
        """Count once."""
        recent = [at for at in self._times.pop(name, ()) if now - at < WINDOW_S]
        self._times[name] = [*recent, now][-self._allowed :]
        if len(self._times) > REMEMBERED:
            self._times.popitem(last=False)
