"""The sessions of this device, with seconds and reconnects, for reports to the server. Pure.

The server counts a token as in use until the session's end is reported, or the token has expired.
"""

from collections import deque
from dataclasses import dataclass
from typing import Final

from appliance.provisioning.common.protocol import UNUSED, SessionEvent, SessionEventType
from appliance.units import Seconds

LINGER_S: Final = 10.0
"""Seconds after which a session without a link has ended, unless another link resumes it."""
UNOPENED_S: Final = 60.0
"""Seconds after which a token with which no link was opened is reported as unused."""
MAX_REPORTS: Final = 32
"""Reports that wait to be sent; beyond that the oldest is dropped and counted."""
_MAX_SECONDS: Final = 86_400
_MAX_RECONNECTS: Final = 10_000


@dataclass(frozen=True, slots=True)
class SessionReport:
    """An event of a session, for the server."""

    session_id: str
    event: SessionEvent


@dataclass(slots=True)
class _Session:
    """One session so far."""

    idle_since: Seconds
    """When its token was issued, or its newest link was closed."""
    links: int = 0
    seconds: float = 0.0
    """Total of its closed links."""
    open_since: Seconds | None = None
    end_reported: bool = False

    @property
    def ends_at(self) -> Seconds | None:
        """When it is over, if nothing happens; None: a link is open, or its end has been reported."""
        if self.open_since is not None or self.end_reported:
            return None
        return Seconds(self.idle_since + (LINGER_S if self.links else UNOPENED_S))


class SessionTracker:
    """Tracks one device's sessions; times are monotonic. Only one link is open at a time."""

    def __init__(self) -> None:
        self.pending: deque[SessionReport] = deque(maxlen=MAX_REPORTS)
        """Reports for the server, oldest first."""
        self.dropped = 0
        """Reports that were dropped."""
        self._sessions: dict[str, _Session] = {}

    def token_issued(self, session_id: str, now: Seconds) -> None:
        """A token was handed out; earlier sessions without a link are over."""
        for before, session in list(self._sessions.items()):
            if session.open_since is None and before != session_id:
                self._end(before, session)
                del self._sessions[before]
        self._sessions.setdefault(session_id, _Session(now))

    def token_discarded(self, session_id: str) -> None:
        """A token was discarded unused."""
        self._queue(session_id, SessionEvent(type=SessionEventType.ENDED, reason=UNUSED))

    def link_opened(self, session_id: str, now: Seconds) -> None:
        """A link was opened."""
        session = self._sessions.setdefault(session_id, _Session(now))
        session.links += 1
        session.open_since, session.end_reported = now, False
        if session.links == 1:
            self._queue(session_id, SessionEvent(type=SessionEventType.STARTED))

    def link_closed(self, session_id: str, now: Seconds) -> None:
        """Note that the link of a session was closed."""
        session = self._sessions.get(session_id)
        if session is not None and session.open_since is not None:
            session.seconds += now - session.open_since
            session.open_since, session.idle_since = None, now

    def end_idle(self, now: Seconds) -> bool:
        """End the sessions whose time is over; return whether there were any."""
        over = [(name, one) for name, one in self._sessions.items() if one.ends_at is not None and one.ends_at <= now]
        for session_id, session in over:
            self._end(session_id, session)
        return bool(over)

    def end_all(self) -> None:
        """End every session without a link: no other link will come."""
        for session_id, session in self._sessions.items():
            if session.open_since is None:
                self._end(session_id, session)

    @property
    def in_use(self) -> bool:
        """Whether any session has not ended."""
        return any(not session.end_reported for session in self._sessions.values())

    @property
    def next_end_at(self) -> Seconds | None:
        """When `end_idle` will have something to do; None: not before the next link is closed."""
        return min((one.ends_at for one in self._sessions.values() if one.ends_at is not None), default=None)

    def _end(self, session_id: str, session: _Session) -> None:
        if session.end_reported:
            return
        session.end_reported = True
        event = SessionEvent(
            type=SessionEventType.ENDED,
            reason="" if session.links else UNUSED,
            seconds=min(_MAX_SECONDS, round(session.seconds)),
            reconnects=min(_MAX_RECONNECTS, max(0, session.links - 1)),
        )
        self._queue(session_id, event)

    def _queue(self, session_id: str, event: SessionEvent) -> None:
        if len(self.pending) == MAX_REPORTS:
            self.dropped += 1
        self.pending.append(SessionReport(session_id, event))
