"""The port between a session and its connection: a WebSocket or a pipe in memory."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Caller:
    """The sender of a connection request; its repr does not show the credential."""

    constrained: bool
    """The request uses the path for tokens."""
    version: str
    """API version: v1, v1alpha or v1beta."""
    credential: str
    """API key or token name."""

    def __repr__(self) -> str:
        return f"Caller({'token' if self.constrained else 'key'}, {self.version})"


class Transport(Protocol):
    """One connection, from the request on. One task receives; any task of the same loop may do the rest.

    Everything after `drop` is a fault of the service or of the network.
    """

    @property
    def close_code(self) -> int:
        """Close code of the connection; 1006 without a close frame."""

    @property
    def closing(self) -> bool:
        """The service has closed or dropped it, or it has ended: further messages are ignored."""

    @property
    def ended(self) -> bool:
        """The close handshake is over, or the connection is lost."""

    async def accept(self) -> None:
        """Accept the request."""

    async def refuse(self, status: int) -> None:
        """Answer the request with an HTTP error; ends the connection."""

    async def receive(self) -> bytes | None:
        """Return the next message; None once the connection has ended or was idle for too long."""

    async def send(self, payload: bytes) -> None:
        """Send a message; ignored once the connection is ending."""

    async def close(self, code: int, reason: str) -> None:
        """Send a close frame, or drop if nothing is sent any more; `receive` then returns None."""

    def drop(self) -> None:
        """End at once without a close frame, by a TCP reset; `receive` then returns None."""

    async def send_half(self, payload: bytes) -> None:
        """Send the first half of a message's frame, then drop."""

    def half_close(self) -> None:
        """End the service's direction of the stream without a close frame, and go on reading."""

    def stop_reading(self) -> None:
        """Read nothing more; the client's messages pile up."""

    def stop_sending(self) -> None:
        """Send nothing more, pongs and close frames included."""

    def slow_pongs(self, seconds: float) -> None:
        """Delay every pong by this time."""

    def slow_close(self, seconds: float) -> None:
        """Delay the answer to the client's close frame by this time."""
