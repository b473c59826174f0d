"""The port to the service that mints tokens, free of SDK types."""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from appliance.provisioning.common.protocol import ProblemCode


@dataclass(frozen=True, slots=True)
class MintSpec:
    """One token to be minted: good for one session, and for resuming it. None: the device chooses."""

    model: str
    new_session_expires_at: datetime
    """Last moment at which a session can begin. Has a time zone, like all times here."""
    expires_at: datetime
    """When running sessions end."""
    voice: str | None = None
    language: str | None = None
    instruction: str | None = None
    has_tools: bool = True
    """Whether the device may offer tools."""
    holder: str = ""
    """Device id. All tokens of a device come from one API key, so that its sessions can be resumed."""


class UpstreamError(Exception):
    """No token was minted. ``code`` says whose fault it is; the text is for the log and holds no secret."""

    def __init__(self, code: ProblemCode, message: str, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.retry_after = retry_after
        """Seconds after which a retry may succeed, where that is known."""


class Upstream(Protocol):
    """Mints tokens."""

    async def mint(self, spec: MintSpec) -> str:
        """Return the token.

        Raises:
            UpstreamError.
        """

    async def aclose(self) -> None:
        """Close connections."""
