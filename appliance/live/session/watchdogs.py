"""Watchdogs over one connection: answers that take longer and longer, and audio that does not leave. Pure.

Times are monotonic. What else goes wrong depends on whose turn it is: see `machine`.
"""

from math import inf
from statistics import median
from typing import Final

from appliance.live.ports import Traffic
from appliance.units import Seconds

STALL_S: Final = 1.5
"""With four samples a second noticed within 2 s."""
DRIFT_FACTOR: Final = 2.0
DRIFT_S: Final = 0.4
"""A smaller growth than this is not felt."""
DRIFT_ANSWERS: Final = 3
"""Answers in a measurement."""


class LatencyDriftDetector:
    """Compares the newest answers of a connection with its first ones."""

    def __init__(self) -> None:
        self._first: list[float] = []
        self._newest: list[float] = []

    def answered(self, after_s: float) -> bool:
        """Take the delay of an answer; return whether answers have become slow."""
        if len(self._first) < DRIFT_ANSWERS:
            self._first.append(after_s)
            return False
        self._newest = [*self._newest, after_s][-DRIFT_ANSWERS:]
        was, is_now = median(self._first), median(self._newest)
        if len(self._newest) < DRIFT_ANSWERS or is_now < max(DRIFT_FACTOR * was, was + DRIFT_S):
            return False
        self._newest = []
        return True


class SendStallDetector:
    """Watches whether bytes leave."""

    def __init__(self) -> None:
        self._left = -1
        self._waits_since: Seconds | None = None
        """None while nothing waits; in the far future after a stall was found."""

    def sample(self, traffic: Traffic | None, now: Seconds) -> bool:
        """Take the bytes on the way to the service; return, once, whether they have stopped to leave."""
        if traffic is None:
            return False
        left, before = traffic.written - traffic.queued, self._left
        self._left = left
        if traffic.queued == 0:
            self._waits_since = None
            return False
        if left > before or self._waits_since is None:
            self._waits_since = now
        if now - self._waits_since < STALL_S:
            return False
        self._waits_since = Seconds(inf)
        return True
