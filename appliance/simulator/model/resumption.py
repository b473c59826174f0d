"""Resumption: handles, and the one connection that a session may have at a time."""

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from appliance.simulator.contract.messages import INTERNAL_ERROR, INVALID_ARGUMENT, POLICY_VIOLATION, ContractError
from appliance.simulator.ports import Transport

_CAPACITY: Final = 1000
"""Handles kept; one more, and the oldest is forgotten."""
_UNKNOWN: Final[Mapping[int, str]] = {
    INVALID_ARGUMENT: "Request contains an invalid argument. Unknown session handle.",
    POLICY_VIOLATION: "BidiGenerateContent session not found",
}
UNKNOWN_CODES: Final = tuple(_UNKNOWN)
"""Both have been seen from the real service."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The state that a session takes to its next connection."""

    session: int
    """Number of its first connection."""
    position: int = 0
    """In the script, of the next reply."""
    context_tokens: int = 0
    connection: int = 0
    """Number of the connection that offered the handle."""
    received_samples: int = 0
    """Samples that this connection had received by then; the session forgets later ones."""


@dataclass(slots=True)
class _Handle:
    snapshot: Snapshot
    valid_until: float | None = None
    """None while the session is connected: the time runs from its end."""


@dataclass(slots=True)
class ResumptionStore:
    """All handles of a service."""

    monotonic: Callable[[], float]
    life_s: float
    """Life of a handle after the session's last connection has ended."""
    allow_overlap: bool
    """Resume a session although its old connection is still open."""
    unknown_code: int = INVALID_ARGUMENT
    """Close code for an unknown handle."""
    _handles: dict[str, _Handle] = field(default_factory=dict)
    _open: dict[int, Transport] = field(default_factory=dict)
    """The connection of each connected session."""

    def offer(self, snapshot: Snapshot) -> str:
        """Return a new handle with which the session can be resumed."""
        name = secrets.token_hex(24)
        if len(self._handles) >= _CAPACITY:
            del self._handles[next(iter(self._handles))]
        self._handles[name] = _Handle(snapshot)
        return name

    def resume(self, name: str) -> Snapshot:
        """Return the snapshot of a handle.

        Raises:
            ContractError: It is unknown (1007 or 1008), or the session is still connected (1011).
        """
        handle = self._handles.get(name)
        if handle is None or (handle.valid_until is not None and self.monotonic() >= handle.valid_until):
            raise ContractError(self.unknown_code, _UNKNOWN[self.unknown_code])
        old = self._open.get(handle.snapshot.session)
        if old is not None and not old.ended and not self.allow_overlap:
            raise ContractError(INTERNAL_ERROR, "Internal error encountered.")
        return handle.snapshot

    def connected(self, session: int, transport: Transport) -> None:
        """Note the connection of a session."""
        self._open[session] = transport
        for handle in self._of(session):
            handle.valid_until = None

    def disconnected(self, session: int, transport: Transport) -> None:
        """Note the end of a connection: the session's handles begin to age, unless it has another one."""
        if self._open.get(session) is transport:
            del self._open[session]
            for handle in self._of(session):
                handle.valid_until = self.monotonic() + self.life_s

    def forget(self) -> None:
        """Forget all handles."""
        self._handles.clear()

    def _of(self, session: int) -> list[_Handle]:
        return [handle for handle in self._handles.values() if handle.snapshot.session == session]
