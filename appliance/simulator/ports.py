"""What a session needs of its connection: a WebSocket of the server, or a pipe in memory."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Caller:
    """What the request for a connection shows; its repr does not show the credentials."""

    constrained: bool
    """The path is the one for tokens."""
    version: str
    """Of the API: v1, v1alpha or v1beta."""
    credential: str
    """The API key or the token's name."""

    def __repr__(self) -> str:
        return f"Caller({'token' if self.constrained else 'key'}, {self.version})"


class Transport(Protocol):
    """One connection, from the request on. One task receives; any task of the same loop does the rest.

    The second half are faults: each does what a broken service, or the network before it, does.
    """

    @property
    def close_code(self) -> int:
        """What the connection ended with; 1006 where no close frame came."""

    @property
    def closing(self) -> bool:
        """The service has closed or dropped it, or it has ended: nothing that comes now counts."""

    @property
    def ended(self) -> bool:
        """The close handshake is over, or the connection is gone."""

    async def accept(self) -> None:
        """Grant the request."""

    async def refuse(self, status: int) -> None:
        """Answer the request with an HTTP error; ends the connection."""

    async def receive(self) -> bytes | None:
        """Return the next message; None once the connection has ended or was idle for too long."""

    async def send(self, payload: bytes) -> None:
        """Send a message; nothing, once the connection is ending."""

    async def close(self, code: int, reason: str) -> None:
        """Send a close frame, or drop where nothing is sent any more; `receive` sees the end."""

    def drop(self) -> None:
        """Be gone at once, without a close frame (a TCP reset); `receive` sees the end."""

    async def send_half(self, payload: bytes) -> None:
        """Send the first half of a message's frame, then drop."""

    def half_close(self) -> None:
        """End the service's direction of the stream without a close frame, and go on reading."""

    def stop_reading(self) -> None:
        """Take nothing more from the connection; what the client sends piles up."""

    def stop_sending(self) -> None:
        """Send nothing more, pongs and close frames included."""

    def slow_pongs(self, seconds: float) -> None:
        """Answer every ping this late."""

    def slow_close(self, seconds: float) -> None:
        """Answer the client's close frame this late."""
