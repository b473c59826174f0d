"""Connections by stage, with bounds that keep one address from taking all of them. Pure.

Times are seconds of one monotonic clock.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum, auto
from ipaddress import IPv6Address, ip_address
from typing import Final

MAX_CONNECTIONS: Final = 4000
"""At this number, a connection has to be closed before another is accepted. As many stalled ones take some 200 MB;
with far fewer, each closed stranger would cost another handshake."""
BRIEF_S: Final = 0.5
"""A connection silent for longer is the first to be closed."""
ARRIVAL: Final = "arrival"
"""Key of a request's `RequestArrival` in the ASGI scope's ``state``."""


class Stage(StrEnum):
    """Phases of a connection. The server waits for the other side in all but the last."""

    SILENT = auto()
    """It has sent nothing yet."""
    READY = auto()
    """It has sent something, and its handshake has not begun."""
    HANDSHAKE = auto()
    REQUEST = auto()
    """A request is expected, or has come in part."""
    IDLE = auto()
    """It was answered, and may send another request."""
    WORK = auto()
    """A whole request is being answered."""


LONGEST_S: Final[Mapping[Stage, float]] = {
    Stage.SILENT: 10.0,
    # Less than devices wait for an answer: after longer, the device has given up or soon will.
    Stage.READY: 3.0,
    Stage.HANDSHAKE: 10.0,
    Stage.REQUEST: 10.0,
    # The HTTP server ends these sooner (`program.KEEP_ALIVE_S`).
    Stage.IDLE: 90.0,
    # Longer than any request takes: the other side does not read the answer.
    Stage.WORK: 30.0,
}
"""Longest time in each stage. A trickle of bytes does not prolong it."""


@dataclass(slots=True)
class RequestArrival:
    """Arrival of one request, as its connection saw it."""

    came_at: float
    """When its first byte came, minus the time that its connection waited for a handshake."""
    is_gone: bool = False
    """Whether the other side has closed the connection."""


@dataclass(eq=False, slots=True)
class Peer:
    """One connection. ``sever`` ends it at once; called a second time, it does nothing."""

    origin: str
    """Source address, by `origin_of`."""
    came_at: float
    sever: Callable[[], None] = field(repr=False)
    stage: Stage = Stage.SILENT
    since: float = 0.0
    """When its stage began."""
    greeted_at: float = 0.0
    """When its handshake began."""
    waited_s: float = 0.0
    """Seconds that it waited for its handshake, until its first request has begun."""


class ConnectionLimits:
    """All connections; holds at most ``most``, of which one origin has at most half to wait for.

    Who has to leave is the one that was waited for longest, of the origin that has most of these; one that has said
    nothing at all, where there is one. A device sends its request whole and at once, and is never the one.
    """

    def __init__(
        self,
        maximum: int = MAX_CONNECTIONS,
        longest_s: Mapping[Stage, float] = LONGEST_S,
        on_severed: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.maximum = maximum
        self.longest_s = longest_s
        self._on_severed = on_severed
        self._peers: dict[Peer, None] = {}
        self._waiting: dict[str, dict[Peer, None]] = {}
        """By origin, in the order in which the stages began."""
        self._silent: dict[str, dict[Peer, None]] = {}
        """Those of them who have said nothing."""

    def __len__(self) -> int:
        return len(self._peers)

    def add(self, peer: Peer) -> None:
        """Take note of a new connection."""
        peer.since = peer.came_at
        self._peers[peer] = None
        self._waiting.setdefault(peer.origin, {})[peer] = None
        self._silent.setdefault(peer.origin, {})[peer] = None

    def move(self, peer: Peer, stage: Stage, now: float) -> None:
        """Record a connection's next stage; does nothing if it is already there or closed."""
        if peer.stage is stage or peer not in self._peers:
            return
        self._stop_waiting_for(peer)
        peer.stage, peer.since = stage, now
        if stage is not Stage.WORK:
            self._waiting.setdefault(peer.origin, {})[peer] = None

    def remove(self, peer: Peer) -> None:
        """Forget a connection that has ended; does nothing a second time."""
        if self._peers.pop(peer, peer) is None:
            self._stop_waiting_for(peer)

    def to_evict_for(self, origin: str, now: float) -> Peer | None:
        """Return the connection to close before another of ``origin`` is accepted; None: none."""
        if len(self._waiting.get(origin, {})) >= self.maximum // 2:
            return self._longest_of(origin, now)
        return self.longest_waiting(now) if len(self._peers) >= self.maximum else None

    def longest_waiting(self, now: float) -> Peer | None:
        """Return the connection waited for longest, of the origin with most of these; None: none is waited for."""
        origin = max(self._waiting, key=lambda one: len(self._waiting[one]), default=None)
        return None if origin is None else self._longest_of(origin, now)

    def _longest_of(self, origin: str, now: float) -> Peer:
        silent = next(iter(self._silent.get(origin, {})), None)
        if silent is not None and now - silent.since > BRIEF_S:
            return silent
        return next(iter(self._waiting[origin]))

    def overdue(self, now: float) -> list[Peer]:
        """Return all that have been in their stage for too long."""
        return [peer for peer in self._peers if now - peer.since > self.longest_s[peer.stage]]

    def sever(self, peer: Peer) -> None:
        """Close a connection that is overdue or has to make way, and count it."""
        self._on_severed(peer.stage)
        peer.sever()

    def connections(self) -> list[Peer]:
        """Return all connections."""
        return list(self._peers)

    def _stop_waiting_for(self, peer: Peer) -> None:
        for kept in (self._waiting, self._silent):
            of_origin = kept.get(peer.origin, {})
            of_origin.pop(peer, None)
            if not of_origin:
                kept.pop(peer.origin, None)


def origin_of(address: str) -> str:
    """Return what one machine cannot change at will: an IPv4 address, or the first 64 bits of an IPv6 address."""
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if not isinstance(parsed, IPv6Address):
        return address
    return str(parsed.ipv4_mapped or IPv6Address(int(parsed) >> 64 << 64))
