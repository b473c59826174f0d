"""A circuit breaker: while a service fails, most callers learn so at once, and one at a time tries. Pure."""

from typing import Final

FAILURES: Final = 5
"""Failures in a row that open it."""
FIRST_PAUSE_S: Final = 2.0
LONGEST_PAUSE_S: Final = 60.0


class CircuitBreaker:
    """Says whether the service may be called; times are seconds of one monotonic clock."""

    def __init__(self) -> None:
        self._failures = 0
        self._pause_s = FIRST_PAUSE_S
        self._closed_until = 0.0
        self._probing = False

    def wait_s(self, now: float) -> float:
        """Return how long not to call; 0: call now, and report what came of it.

        Once the pause is over, the first caller is let through, and the others wait for what becomes of it.
        """
        if self._failures < FAILURES:
            return 0.0
        if now < self._closed_until:
            return self._closed_until - now
        if self._probing:
            return FIRST_PAUSE_S
        self._probing = True
        return 0.0

    def succeeded(self) -> None:
        """Take note that the service works."""
        self._failures = 0
        self._pause_s = FIRST_PAUSE_S
        self._probing = False

    def failed(self, now: float) -> None:
        """Take note that it does not."""
        self._failures += 1
        self._probing = False
        if self._failures >= FAILURES and now >= self._closed_until:
            self._closed_until = now + self._pause_s
            self._pause_s = min(LONGEST_PAUSE_S, self._pause_s * 2)

    def abandoned(self) -> None:
        """Take note that a call ended without telling anything about the service."""
        self._probing = False
