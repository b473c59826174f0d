"""Ephemeral tokens: minting and checking.

Facts (ai.google.dev, ephemeral tokens): one use by default, 0 for unlimited; 60 s for a new session and 30 min for
messages by default, both less than 20 h ahead; resuming does not count as a use. A connection is refused when its first
message arrives, not when the socket opens.
"""

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from appliance.simulator.contract.locks import Lock, parse_lock
from appliance.simulator.contract.messages import INTERNAL_ERROR, POLICY_VIOLATION, ContractError, Message, invalid
from appliance.units import Seconds

_FIELDS: Final = frozenset({"expireTime", "newSessionExpireTime", "uses", "bidiGenerateContentSetup", "fieldMask"})
_LONGEST: Final = timedelta(hours=20)
_CAPACITY: Final = 10_000
"""Tokens kept; one more, and the oldest is forgotten."""


@dataclass(slots=True)
class Token:
    """The remaining rights of a token; times are monotonic."""

    expires_at: Seconds
    new_session_until: Seconds
    uses_left: int | None
    """None: unlimited."""
    lock: Lock

    def check(self, now: Seconds) -> None:
        """Raise ContractError if the token has expired."""
        if now >= self.expires_at:
            raise ContractError(INTERNAL_ERROR, "Auth token has expired.")

    def begin_session(self, now: Seconds, *, resumed: bool) -> None:
        """Begin a session, which is a use of the token, or resume one, which is not.

        Raises:
            ContractError: The token does not allow it.
        """
        self.check(now)
        if resumed:
            return
        if now >= self.new_session_until:
            raise ContractError(INTERNAL_ERROR, "Auth token has expired: it can no longer start a new session.")
        if self.uses_left == 0:
            raise ContractError(INTERNAL_ERROR, "Token has been used too many times")
        if self.uses_left is not None:
            self.uses_left -= 1


class TokenStore:
    """All tokens of one simulator."""

    def __init__(
        self, monotonic: Callable[[], float], wall: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._monotonic = monotonic
        self._wall = wall
        self._tokens: dict[str, Token] = {}

    def mint(self, request: Message) -> str:
        """Return the name of a new token for a request body (camelCase).

        Raises:
            ContractError: The request is invalid.
        """
        for name in request:
            if name not in _FIELDS:
                raise invalid(f'Unknown name "{name}".')
        uses = request.get("uses", 1)
        if not isinstance(uses, int) or uses < 0:
            raise invalid('"uses" must be 0 or more.')
        token = Token(
            expires_at=self._deadline(request, "expireTime", timedelta(minutes=30)),
            new_session_until=self._deadline(request, "newSessionExpireTime", timedelta(seconds=60)),
            uses_left=uses or None,
            lock=parse_lock(request.get("bidiGenerateContentSetup"), request.get("fieldMask")),
        )
        name = f"auth_tokens/{secrets.token_hex(32)}"
        if len(self._tokens) >= _CAPACITY:
            del self._tokens[next(iter(self._tokens))]
        self._tokens[name] = token
        return name

    def find(self, name: str) -> Token:
        """Return a token by its name; raises ContractError if there is none."""
        token = self._tokens.get(name)
        if token is None:
            raise ContractError(POLICY_VIOLATION, "Request had invalid authentication credentials.")
        return token

    def _deadline(self, request: Message, name: str, default: timedelta) -> Seconds:
        """Return a wall-clock time as a monotonic one: the wall clock may be set while the token lives."""
        remaining = _time(request[name], name) - self._wall() if name in request else default
        if not timedelta() < remaining < _LONGEST:
            raise invalid(f'"{name}" must lie ahead, by less than 20 hours.')
        return Seconds(self._monotonic() + remaining.total_seconds())


def _time(value: object, name: str) -> datetime:
    try:
        time = datetime.fromisoformat(str(value))
    except ValueError as error:
        raise invalid(f'"{name}" must be an RFC 3339 time.') from error
    if time.tzinfo is None:
        raise invalid(f'"{name}" must have an offset from UTC.')
    return time
