"""What became of the sessions that tokens were good for: seconds and reconnects, for the server's counts. Pure.

The server counts a token as in use until it hears of the session's end, or the token's time is over.
"""

from collections import deque
from dataclasses import dataclass
from typing import Final

from appliance.provisioning.common.protocol import UNUSED, SessionEvent, SessionEventType
from appliance.units import Seconds

LINGER_S: Final = 10.0
"""A session whose link has been closed for so long has ended, until another link takes it up."""
UNOPENED_S: Final = 60.0
"""A token that was handed out so long ago, and with which no link was opened, is good for nothing any more."""
MAX_REPORTS: Final = 32
"""Reports that wait to be sent; the oldest give way."""
_MAX_SECONDS: Final = 86_400
_MAX_RECONNECTS: Final = 10_000


@dataclass(frozen=True, slots=True)
class Report:
    """One thing to tell the server."""

    session_id: str
    event: SessionEvent


@dataclass(slots=True)
class _Session:
    """One session, as far as it has gone."""

    idle_since: Seconds
    """When it was handed out, or its newest link was closed."""
    links: int = 0
    seconds: float = 0.0
    """Of the links that are closed."""
    open_since: Seconds | None = None
    told_end: bool = False

    @property
    def ends_at(self) -> Seconds | None:
        """When it is over, if nothing happens; None: a link is open, or its end has been told."""
        if self.open_since is not None or self.told_end:
            return None
        return Seconds(self.idle_since + (LINGER_S if self.links else UNOPENED_S))


class Sessions:
    """Keeps the books of one device; moments are monotonic. Only one link is open at a time."""

    def __init__(self) -> None:
        self.due: deque[Report] = deque(maxlen=MAX_REPORTS)
        """What to tell the server, oldest first."""
        self.dropped = 0
        """Reports that gave way."""
        self._sessions: dict[str, _Session] = {}

    def handed_out(self, session_id: str, now: Seconds) -> None:
        """A token was given to who wants to connect: whatever was before and has no link is over."""
        for before, session in list(self._sessions.items()):
            if session.open_since is None and before != session_id:
                self._end(before, session)
                del self._sessions[before]
        self._sessions.setdefault(session_id, _Session(now))

    def unused(self, session_id: str) -> None:
        """A token was thrown away."""
        self._tell(session_id, SessionEvent(type=SessionEventType.ENDED, reason=UNUSED))

    def opened(self, session_id: str, now: Seconds) -> None:
        """A link was opened."""
        session = self._sessions.setdefault(session_id, _Session(now))
        session.links += 1
        session.open_since, session.told_end = now, False
        if session.links == 1:
            self._tell(session_id, SessionEvent(type=SessionEventType.STARTED))

    def closed(self, session_id: str, now: Seconds) -> None:
        """That link was closed."""
        session = self._sessions.get(session_id)
        if session is not None and session.open_since is not None:
            session.seconds += now - session.open_since
            session.open_since, session.idle_since = None, now

    def settle(self, now: Seconds) -> bool:
        """End what is over; return whether that was anything."""
        over = [(name, one) for name, one in self._sessions.items() if one.ends_at is not None and one.ends_at <= now]
        for session_id, session in over:
            self._end(session_id, session)
        return bool(over)

    def end(self) -> None:
        """End whatever has no link: no other will come."""
        for session_id, session in self._sessions.items():
            if session.open_since is None:
                self._end(session_id, session)

    @property
    def in_use(self) -> bool:
        """Whether a link is open, was a moment ago, or is about to be."""
        return any(not session.told_end for session in self._sessions.values())

    @property
    def settles_at(self) -> Seconds | None:
        """When `settle` will have something to do; None: not before the next link is closed."""
        return min((one.ends_at for one in self._sessions.values() if one.ends_at is not None), default=None)

    def _end(self, session_id: str, session: _Session) -> None:
        if session.told_end:
            return
        session.told_end = True
        event = SessionEvent(
            type=SessionEventType.ENDED,
            reason="" if session.links else UNUSED,
            seconds=min(_MAX_SECONDS, round(session.seconds)),
            reconnects=min(_MAX_RECONNECTS, max(0, session.links - 1)),
        )
        self._tell(session_id, event)

    def _tell(self, session_id: str, event: SessionEvent) -> None:
        if len(self.due) == MAX_REPORTS:
            self.dropped += 1
        self.due.append(Report(session_id, event))
