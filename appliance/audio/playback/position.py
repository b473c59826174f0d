"""How much of each reply has been heard.

Responsible for turning what the speaker's thread took, and when that becomes audible, into positions and moments of
replies. Pure arithmetic on the loop's thread; knows positions in the stream of all replies, and no samples.
"""

from collections import deque
from dataclasses import dataclass
from typing import Final

from appliance.audio.ports import PlayedPeriod
from appliance.units import REPLY, Epoch, Seconds

_REMEMBERED: Final = 64
"""Replies that can be asked about; an older one is forgotten, and counts as not heard."""


@dataclass(frozen=True, slots=True)
class HeardExtent:
    """How far a reply was heard: ``samples`` of the ``received`` ones; epoch 0 where there was no reply."""

    epoch: Epoch
    samples: int
    received: int


@dataclass(slots=True)
class Reply:
    """One reply: of the stream of all replies, ``begin`` to ``end``."""

    epoch: Epoch
    begin: int
    end: int
    taken: int = 0
    """Samples that the speaker has taken."""
    audible_at: Seconds | None = None
    """When its first sample is heard; None while none was taken."""
    heard_by: Seconds | None = None
    """When the newest sample that was taken has been heard; None while none was taken."""
    finished: bool = False
    """No more samples come."""

    @property
    def received(self) -> int:
        """Samples that have come of it."""
        return self.end - self.begin


class PlayoutPosition:
    """What was taken of the newest replies, and how much of that has been heard."""

    def __init__(self) -> None:
        self._replies: deque[Reply] = deque(maxlen=_REMEMBERED)
        self._unheard: deque[tuple[Reply, PlayedPeriod]] = deque()  # no more than the device delays

    def open(self, epoch: Epoch, position: int) -> Reply:
        """Begin a reply at a position of the stream."""
        reply = Reply(epoch, position, position)
        self._replies.append(reply)
        return reply

    def note(self, pulled: PlayedPeriod, now: Seconds) -> None:
        """Account for a period; in order, and not before its reply has its end."""
        while self._unheard and self._unheard[0][1].silent_at <= now:
            self._unheard.popleft()
        for reply in reversed(self._replies):
            if pulled.count and reply.begin <= pulled.start < reply.end:
                reply.taken += pulled.count
                reply.audible_at = pulled.audible_at if reply.audible_at is None else reply.audible_at
                reply.heard_by = pulled.silent_at
                self._unheard.append((reply, pulled))
                return

    def heard(self, epoch: Epoch, now: Seconds) -> HeardExtent:
        """Return how far a reply has been heard; ``now`` is not before that of the last `note`."""
        for reply in self._replies:
            if reply.epoch == epoch:
                return HeardExtent(epoch, self.heard_of(reply, now), reply.received)
        return HeardExtent(epoch, 0, 0)

    def heard_of(self, reply: Reply, now: Seconds) -> int:
        """Return how many samples of a reply have been heard."""
        to_come = (pulled for other, pulled in self._unheard if other is reply)
        return reply.taken - sum(min(pulled.count, max(0, REPLY.frames(pulled.silent_at - now))) for pulled in to_come)

    def forget_unheard(self, now: Seconds) -> None:
        """The speaker is gone: what it had taken and was not yet heard was not taken."""
        for reply in {id(reply): reply for reply, _ in self._unheard}.values():
            reply.taken = self.heard_of(reply, now)
            reply.heard_by = now if reply.taken else None
            if reply.audible_at is not None and reply.audible_at > now:
                reply.audible_at = None
        self._unheard.clear()
