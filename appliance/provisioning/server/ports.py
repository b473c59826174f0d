"""What the server needs of the service that mints tokens, free of any SDK type."""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from appliance.provisioning.common.protocol import ProblemCode


@dataclass(frozen=True, slots=True)
class MintSpec:
    """One token to be minted: good for one session, and for resuming it. None: the device chooses."""

    model: str
    new_session_expires_at: datetime
    """With a time zone, as all times here. No session can be begun after it."""
    expires_at: datetime
    """Running sessions end."""
    voice: str | None = None
    language: str | None = None
    instruction: str | None = None
    has_tools: bool = True
    """Whether the device may offer any."""
    holder: str = ""
    """Whom it is for: tokens of one holder come from one API key, so that its sessions can be resumed."""


class UpstreamError(Exception):
    """No token: ``code`` says whose fault it is; the text is for the log and holds no secret."""

    def __init__(self, code: ProblemCode, message: str, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.retry_after = retry_after
        """Seconds after which it may go better, where that is known."""


class Upstream(Protocol):
    """Mints tokens."""

    async def mint(self, spec: MintSpec) -> str:
        """Return the token.

        Raises:
            UpstreamError.
        """

    async def aclose(self) -> None:
        """Close connections."""
