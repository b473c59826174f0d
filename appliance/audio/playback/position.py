"""Number of samples of each reply that have been heard.

Turns the periods that the speaker played, and when each becomes audible, into positions and moments of replies. Pure
arithmetic on the loop's thread: knows positions in the stream of all replies, and no samples.
"""

from collections import deque
from dataclasses import dataclass
from typing import Final

from appliance.audio.ports import PlayedPeriod
from appliance.units import REPLY, Epoch, Seconds

_KEPT: Final = 64
"""Replies whose position is known; an older one counts as not heard."""


@dataclass(slots=True)
class Reply:
    """One reply: ``begin`` to ``end`` in the stream of all replies."""

    epoch: Epoch
    begin: int
    end: int
    played: int = 0
    """Samples that the speaker has played, heard already or still in its buffer; those played twice count once."""
    heard: int = 0
    """Samples that were heard when `PlayoutPosition` looked last."""
    audible_at: Seconds | None = None
    """When its first sample is heard; None while none was played."""
    silent_at: Seconds | None = None
    """When the newest sample that was played has been heard; None while none was."""
    finished: bool = False
    """No more samples come."""

    @property
    def received(self) -> int:
        """Samples received so far."""
        return self.end - self.begin


class PlayoutPosition:
    """Samples played of the newest replies, and how many of those have been heard."""

    def __init__(self) -> None:
        self._replies: deque[Reply] = deque(maxlen=_KEPT)
        self._unheard: deque[tuple[Reply, PlayedPeriod]] = deque()  # no more than the device delays

    def open(self, epoch: Epoch, position: int) -> Reply:
        """Begin a reply at a position of the stream."""
        reply = Reply(epoch, position, position)
        self._replies.append(reply)
        return reply

    def played(self, period: PlayedPeriod, now: Seconds) -> None:
        """Account for a period; in order, and not before its reply has its end."""
        while self._unheard and self._unheard[0][1].silent_at <= now:
            heard, last = self._unheard.popleft()
            heard.heard = max(heard.heard, last.start + last.count - heard.begin)
        for reply in reversed(self._replies):
            if period.count and reply.begin <= period.start < reply.end:
                reply.played = max(reply.played, period.start + period.count - reply.begin)
                reply.audible_at = period.audible_at if reply.audible_at is None else reply.audible_at
                reply.silent_at = period.silent_at
                self._unheard.append((reply, period))
                return

    def heard(self, epoch: Epoch, now: Seconds) -> int:
        """Return how many samples of a reply have been heard; ``now`` is not before that of the last `played`."""
        return next((self.heard_of(reply, now) for reply in self._replies if reply.epoch == epoch), 0)

    def heard_of(self, reply: Reply, now: Seconds) -> int:
        """Return how many samples of a reply have been heard."""
        for other, period in self._unheard:
            count = period.count - max(0, REPLY.frames(period.silent_at - now))
            if other is reply and count > 0:
                reply.heard = max(reply.heard, period.start + count - reply.begin)
        return reply.heard

    def forget_unheard(self, now: Seconds) -> None:
        """Count samples that were played and not yet heard as not played: the speaker is gone."""
        for reply in {id(reply): reply for reply, _ in self._unheard}.values():
            reply.played = self.heard_of(reply, now)
            reply.silent_at = now if reply.played else None
            if reply.audible_at is not None and reply.audible_at > now:
                reply.audible_at = None
        self._unheard.clear()
