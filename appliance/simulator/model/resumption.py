"""Resumption: handles, and the one connection that a session may have at a time."""

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from appliance.simulator.contract.messages import INTERNAL_ERROR, INVALID_ARGUMENT, POLICY_VIOLATION, ContractError
from appliance.simulator.ports import Transport

_CAPACITY: Final = 1000
"""Handles remembered; one more and the oldest is forgotten."""


_UNKNOWN: Final[Mapping[int, str]] = {
    INVALID_ARGUMENT: "Request contains an invalid argument. Unknown session handle.",
    POLICY_VIOLATION: "BidiGenerateContent session not found",
}
UNKNOWN_CODES: Final = tuple(_UNKNOWN)
"""Both are seen of the real service."""


class Overlap(Enum):
    """What becomes of a resumption while the session's old connection is open."""

    REFUSED = "refused"
    """1011: the old one is to be closed first."""
    ALLOWED = "allowed"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What a session takes along to its next connection."""

    session: int
    """Number of its first connection."""
    position: int = 0
    """In the script, of the next reply."""
    context_tokens: int = 0
    connection: int = 0
    """Number of the connection over which it was offered."""
    heard: int = 0
    """Samples of the person that this connection had received: what comes later, the session forgets."""


@dataclass(slots=True)
class _Handle:
    snapshot: Snapshot
    valid_until: float | None = None
    """None while the session has a connection: the time runs from its end."""


@dataclass(slots=True)
class ResumptionStore:
    """All handles of a service."""

    monotonic: Callable[[], float]
    life_s: float
    """How long a handle is good after the end of the session's last connection."""
    overlap: Overlap
    unknown_code: int = INVALID_ARGUMENT
    """With which a handle that is not known ends the connection."""
    _handles: dict[str, _Handle] = field(default_factory=dict)
    _open: dict[int, Transport] = field(default_factory=dict)
    """The connection of each session that has one."""

    def offer(self, snapshot: Snapshot) -> str:
        """Return a new handle under which the session can go on."""
        name = secrets.token_hex(24)
        if len(self._handles) >= _CAPACITY:
            del self._handles[next(iter(self._handles))]
        self._handles[name] = _Handle(snapshot)
        return name

    def resume(self, name: str) -> Snapshot:
        """Return what was left under a handle.

        Raises:
            ContractError: It is unknown (1007 or 1008), or the session still has a connection (1011).
        """
        handle = self._handles.get(name)
        if handle is None or (handle.valid_until is not None and self.monotonic() >= handle.valid_until):
            raise ContractError(self.unknown_code, _UNKNOWN[self.unknown_code])
        open_ = self._open.get(handle.snapshot.session)
        if open_ is not None and not open_.ended and self.overlap is Overlap.REFUSED:
            raise ContractError(INTERNAL_ERROR, "Internal error encountered.")
        return handle.snapshot

    def begin(self, session: int, transport: Transport) -> None:
        """Note the connection of a session."""
        self._open[session] = transport
        for handle in self._of(session):
            handle.valid_until = None

    def end(self, session: int, transport: Transport) -> None:
        """Note that a connection has ended: the session's handles begin to age, unless it has another one."""
        if self._open.get(session) is transport:
            del self._open[session]
            for handle in self._of(session):
                handle.valid_until = self.monotonic() + self.life_s

    def forget(self) -> None:
        """Know no handle any more."""
        self._handles.clear()

    def _of(self, session: int) -> list[_Handle]:
        return [handle for handle in self._handles.values() if handle.snapshot.session == session]
