"""Who is connected, and whom the server waits for: the bounds that keep one address from taking all there is. Pure.

Times are seconds of one monotonic clock.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum, auto
from ipaddress import IPv6Address, ip_address
from typing import Final

MAX_CONNECTIONS: Final = 4000
"""While there are as many, somebody has to leave before another is taken in. So many stalled ones take some
200 MB; far fewer, and a stranger who is sent away would cost a handshake again and again."""
BRIEF_S: Final = 0.5
"""Whoever has said nothing for longer is the first to leave."""
ARRIVAL: Final = "arrival"
"""Under which a request's `RequestArrival` is in the ASGI scope's ``state``."""


class Stage(StrEnum):
    """Phases of a connection. The server waits for the other side in all but the last."""

    SILENT = auto()
    """It has sent nothing yet."""
    READY = auto()
    """It has sent something, and waits for its handshake."""
    HANDSHAKE = auto()
    REQUEST = auto()
    """A request is expected, or has come in part."""
    IDLE = auto()
    """It was answered, and may ask again."""
    WORK = auto()
    """A whole request is being answered."""


LONGEST_S: Final[Mapping[Stage, float]] = {
    Stage.SILENT: 10.0,
    # Less than devices wait for an answer: whoever has waited longer has gone, or will before it has one.
    Stage.READY: 3.0,
    Stage.HANDSHAKE: 10.0,
    Stage.REQUEST: 10.0,
    # The HTTP server ends these sooner (`program.KEEP_ALIVE_S`).
    Stage.IDLE: 90.0,
    # Longer than any request takes: whoever gets there does not take the answer.
    Stage.WORK: 30.0,
}
"""How long a connection may stay in a stage; what trickles in meanwhile does not prolong it."""


@dataclass(slots=True)
class RequestArrival:
    """One request, as far as its connection knows it."""

    came_at: float
    """When its first byte came, less the time that its connection had to wait for a handshake."""
    is_gone: bool = False
    """Whether the other side has closed the connection: there is nobody to answer."""


@dataclass(eq=False, slots=True)
class Peer:
    """One connection. ``sever`` ends it at once; called a second time, it does nothing."""

    origin: str
    """Where it comes from, by `origin_of`."""
    came_at: float
    sever: Callable[[], None] = field(repr=False)
    stage: Stage = Stage.SILENT
    since: float = 0.0
    """When its stage began."""
    greeted_at: float = 0.0
    """When its handshake began."""
    waited_s: float = 0.0
    """How long it had to wait for its handshake, until its first request has begun."""


class ConnectionLimits:
    """All connections; holds at most ``most``, of which one origin has at most half to wait for.

    Who has to leave is the one that was waited for longest, of the origin that has most of these; one that has said
    nothing at all, where there is one. A device sends its request whole and at once, and is never the one.
    """

    def __init__(
        self,
        most: int = MAX_CONNECTIONS,
        longest_s: Mapping[Stage, float] = LONGEST_S,
        on_severed: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.most = most
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
        """Take note of a connection's next stage; none, where it is in that stage already or has left."""
        if peer.stage is stage or peer not in self._peers:
            return
        self._wait_no_more(peer)
        peer.stage, peer.since = stage, now
        if stage is not Stage.WORK:
            self._waiting.setdefault(peer.origin, {})[peer] = None

    def remove(self, peer: Peer) -> None:
        """Take note that a connection has ended; does nothing a second time."""
        if self._peers.pop(peer, peer) is None:
            self._wait_no_more(peer)

    def one_too_many(self, origin: str, now: float) -> Peer | None:
        """Return who has to leave before another of ``origin`` is taken in; None: nobody."""
        if len(self._waiting.get(origin, {})) >= self.most // 2:
            return self._longest_of(origin, now)
        return self.longest_waiting(now) if len(self._peers) >= self.most else None

    def longest_waiting(self, now: float) -> Peer | None:
        """Return whom the server waits for longest, of the origin with most of these; None: it waits for nobody."""
        origin = max(self._waiting, key=lambda one: len(self._waiting[one]), default=None)
        return None if origin is None else self._longest_of(origin, now)

    def _longest_of(self, origin: str, now: float) -> Peer:
        silent = next(iter(self._silent.get(origin, {})), None)
        if silent is not None and now - silent.since > BRIEF_S:
            return silent
        return next(iter(self._waiting[origin]))

    def overdue(self, now: float) -> list[Peer]:
        """Return all that are in their stage for too long."""
        return [peer for peer in self._peers if now - peer.since > self.longest_s[peer.stage]]

    def sever(self, peer: Peer) -> None:
        """End a connection that is waited for too long, or whose place is needed, and count it."""
        self._on_severed(peer.stage)
        peer.sever()

    def everybody(self) -> list[Peer]:
        """Return all."""
        return list(self._peers)

    def _wait_no_more(self, peer: Peer) -> None:
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
