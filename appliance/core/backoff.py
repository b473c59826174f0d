"""Waits between attempts: exponential back-off with full jitter. Pure.

Callers pass the random number in: uniform in [0, 1).
"""

from dataclasses import dataclass, replace
from typing import Final

_DOUBLINGS: Final = 60
"""More than enough for any cap; without a limit, the power would overflow."""


@dataclass(frozen=True, slots=True)
class Backoff:
    """Waits that double from ``base_s`` up to ``cap_s``.

    Full jitter (AWS Architecture Blog, "Exponential Backoff and Jitter", 2015): a wait is drawn between nothing and
    the limit of its attempt, so that appliances do not all reconnect at once after an outage.

    Raises:
        ValueError: The base is not above zero, or the cap is below the base.
    """

    base_s: float
    cap_s: float

    def __post_init__(self) -> None:
        if not 0 < self.base_s <= self.cap_s:
            raise ValueError(f"0 < base <= cap does not hold for {self.base_s} and {self.cap_s}")

    def limit(self, attempt: int) -> float:
        """Return the longest wait in seconds after failed attempt number ``attempt``, counted from 0."""
        return min(self.cap_s, self.base_s * 2.0 ** min(attempt, _DOUBLINGS))

    def delay(self, attempt: int, uniform: float) -> float:
        """Return the wait in seconds after failed attempt number ``attempt``, counted from 0."""
        return self.limit(attempt) * uniform


@dataclass(frozen=True, slots=True)
class Failures:
    """Attempts that failed in a row; one that worked for less than a stable time counts as failed."""

    count: int = 0
    works_since: float | None = None
    """Monotonic moment, in seconds; None while it does not work."""

    @property
    def attempt(self) -> int:
        """The number of the newest failed attempt, as `Backoff` counts; 0 before the first."""
        return max(0, self.count - 1)

    def worked(self, now: float) -> "Failures":
        """Note a success. It does not reset the count yet, as a service may accept and drop a connection at once."""
        return replace(self, works_since=now)

    def failed(self, now: float, stable_s: float) -> "Failures":
        """Count a failure; the count restarts at 1 if the last attempt had worked for ``stable_s``."""
        stable = self.works_since is not None and now - self.works_since >= stable_s
        return Failures(1 if stable else self.count + 1)
