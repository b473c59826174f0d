"""Who has failed to enrol too often of late: guesses are slowed down by where they come from. Pure."""

from collections import OrderedDict
from math import ceil
from typing import Final

ALLOWED: Final = 5
WINDOW_S: Final = 60.0
REMEMBERED: Final = 10_000
"""Addresses; when there are more, the one that failed least recently is forgotten."""


class Failures:
    """Counts failures by address; times are seconds of one monotonic clock."""

    def __init__(self) -> None:
        self._of: OrderedDict[str, list[float]] = OrderedDict()
        self.forgotten = 0
        """Addresses that were dropped because there were too many."""

    def wait_s(self, address: str, now: float) -> int:
        """Return how long ``address`` has to wait, in whole seconds; 0: not at all."""
        recent = [at for at in self._of.get(address, ()) if now - at < WINDOW_S]
        return ceil(recent[0] + WINDOW_S - now) if len(recent) >= ALLOWED else 0

    def add(self, address: str, now: float) -> None:
        """Count a failure."""
        recent = [at for at in self._of.pop(address, ()) if now - at < WINDOW_S]
        self._of[address] = [*recent, now][-ALLOWED:]
        if len(self._of) > REMEMBERED:
            self._of.popitem(last=False)
            self.forgotten += 1
