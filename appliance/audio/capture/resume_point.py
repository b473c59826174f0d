"""How far into the microphone's stream a session that can be resumed is sure to know. Pure; times are monotonic."""

from collections import deque
from typing import Final

from appliance.units import Seconds

MARGIN_S: Final = 0.5
"""For the way of what a handle does not cover, and its own: what was sent within it may have been on its way without a
trace, in a relay or in the service. What is said twice is better than what is lost."""
_CHUNKS: Final = 128
"""More than can be sent within the margin."""


class ResumePoint:
    """The audio that the newest handle covers. An answer makes the question before it known, whatever it says."""

    def __init__(self) -> None:
        self.to: int | None = None
        """The first sample that need not be known; None before the first handle."""
        self._recent: deque[tuple[Seconds, int]] = deque(maxlen=_CHUNKS)

    def sent(self, begin: int, now: Seconds) -> None:
        """A chunk that begins at this sample was sent."""
        self._recent.append((now, begin))

    def handle_came(self, delivered_to: int, now: Seconds) -> None:
        """A handle has come; what follows ``delivered_to`` is not known to have arrived."""
        self.to = min([delivered_to, *(begin for at, begin in self._recent if at > now - MARGIN_S)])

    def answered(self, to: int) -> None:
        """Audio sent up to there has its answer: an older handle is no reason to send it again."""
        if self.to is not None:
            self.to = max(self.to, to)
