"""Position in the microphone's stream up to which a resumable session surely knows the audio. Pure; monotonic times."""

from collections import deque
from typing import Final

from appliance.units import Seconds

MARGIN_S: Final = 0.5
"""Age below which sent audio does not count as covered by a handle: it may have been in transit, in a relay or in the
service, when the handle was made. Sending it twice is better than losing it."""
_CHUNKS: Final = 128
"""More than can be sent within the margin."""


class ResumePoint:
    """End of the audio that the newest handle covers. A reply shows that the speech before it is known as well."""

    def __init__(self) -> None:
        self.to: int | None = None
        """The first sample that the session may not know; None before the first handle."""
        self._recent: deque[tuple[Seconds, int]] = deque(maxlen=_CHUNKS)

    def sent(self, begin: int, now: Seconds) -> None:
        """Note a sent chunk that begins at this sample."""
        self._recent.append((now, begin))

    def handle_came(self, delivered_to: int, now: Seconds) -> None:
        """Note a new handle; samples from ``delivered_to`` on may not have arrived."""
        self.to = min([delivered_to, *(begin for at, begin in self._recent if at > now - MARGIN_S)])

    def answered(self, to: int) -> None:
        """Note that samples before ``to`` have their reply, so that they are not sent again for an older handle."""
        if self.to is not None:
            self.to = max(self.to, to)
