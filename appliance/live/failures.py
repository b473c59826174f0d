"""Classifies failures of a Live connection: one table from the facts to the action. Pure.

Responsible for the decision alone; `gemini.translate` extracts the facts (`ConnectionFailure`) from exceptions.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from types import MappingProxyType
from typing import Final

from appliance.core.backoff import Backoff
from appliance.core.events import Trouble
from appliance.errors import ApplianceError, LinkAction, LinkCause, LinkError, ProvisioningError


class Phase(Enum):
    """Whether the set-up was answered: the same failure means different things before and after."""

    OPENING = "opening"
    OPEN = "open"


class FailureKind(Enum):
    """The kinds of failures."""

    CLOSED = "closed"
    """A WebSocket close code (RFC 6455, 7.4.1) and its reason; 1006 if the connection just broke."""
    ANSWERED = "answered"
    """An HTTP status and its text, of the upgrade or in a message."""
    NO_NAME = "no name"
    """The service's name cannot be resolved."""
    NO_ROUTE = "no route"
    CLOCK = "clock"
    """A certificate that is not valid yet, or has expired."""
    INTERCEPTED = "intercepted"
    """An untrusted certificate, a failed TLS handshake, or an answer that is not a WebSocket's."""
    TIMEOUT = "time-out"
    BROKEN = "broken"
    """Refused, reset, or any other network error."""
    UNREADABLE = "unreadable"
    """Messages that violate the contract."""


@dataclass(frozen=True, slots=True)
class ConnectionFailure:
    """The facts of a failure. The reason is the service's own text and may hold a token, see `redacted`."""

    phase: Phase
    kind: FailureKind
    code: int = 0
    reason: str = field(default="", repr=False)


USER_TROUBLE: Final[Mapping[LinkAction, Trouble]] = MappingProxyType(
    {
        LinkAction.RETRY_NOW: Trouble.LOST,
        LinkAction.BACK_OFF: Trouble.SERVICE,
        LinkAction.NEW_TOKEN: Trouble.REFUSED,
        LinkAction.FRESH_SESSION: Trouble.LOST,
        LinkAction.OMIT_FEATURE: Trouble.SETTINGS,
        LinkAction.WAIT_QUOTA: Trouble.QUOTA,
        LinkAction.GIVE_UP_CONFIG: Trouble.SETTINGS,
        LinkAction.GIVE_UP_AUTH: Trouble.REFUSED,
        LinkAction.NOT_ENROLLED: Trouble.NOT_ENROLLED,
        LinkAction.OFFLINE: Trouble.NETWORK,
        LinkAction.CLOCK_WRONG: Trouble.CLOCK,
    }
)
"""The trouble message if the action has not helped in time and a person waits."""

WAITS: Final[Mapping[LinkAction, Backoff]] = MappingProxyType(
    {
        LinkAction.RETRY_NOW: Backoff(0.1, 5.0),
        LinkAction.BACK_OFF: Backoff(0.5, 60.0),
        LinkAction.NEW_TOKEN: Backoff(0.1, 60.0),
        LinkAction.FRESH_SESSION: Backoff(0.1, 5.0),
        LinkAction.OMIT_FEATURE: Backoff(0.1, 5.0),
        LinkAction.WAIT_QUOTA: Backoff(30.0, 900.0),
        LinkAction.GIVE_UP_CONFIG: Backoff(60.0, 3600.0),
        LinkAction.GIVE_UP_AUTH: Backoff(60.0, 3600.0),
        LinkAction.NOT_ENROLLED: Backoff(60.0, 3600.0),
        LinkAction.OFFLINE: Backoff(0.5, 2.0),
        LinkAction.CLOCK_WRONG: Backoff(0.5, 4.0),
    }
)
"""Waits between attempts while a person waits; a wake word or a press tries at once. They are short where only this
network or device is not ready: waiting would spare nobody."""


@dataclass(frozen=True, slots=True)
class Decision:
    """The classification of a failure."""

    action: LinkAction
    cause: LinkCause


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table; an empty field matches everything."""

    kinds: tuple[FailureKind, ...]
    action: LinkAction
    cause: LinkCause
    source: str
    """The source, and an example."""
    phase: Phase | None = None
    codes: tuple[int, ...] = ()
    reason: str = ""
    """Regular expression, searched with case ignored."""

    def matches(self, failure: ConnectionFailure) -> bool:
        """Return whether this row applies to a failure."""
        return (
            failure.kind in self.kinds
            and self.phase in {None, failure.phase}
            and (not self.codes or failure.code in self.codes)
            and re.search(self.reason, failure.reason, re.IGNORECASE) is not None
        )


_QUOTA = r"quota|rate.?limit|resource.?exhausted|resource has been exhausted|too many requests"
_ACCOUNT = r"suspended|location is not supported|has not been used in project|reported as leaked|billing"
_MODEL = r"not found for api version|not supported for bidi"
_CREDENTIAL = (
    r"unregistered callers|api.?key|permission|unauthenticated|ephemeral token|auth.?token|token (has |is )?expired|"
    r"token has been used|authentication credentials"
)
_SESSION = r"handle|resum|session (was |is )?(not found|expired)"
_CONTEXT = r"context (window|length|size|limit)|(too many|number of) (input )?tokens"

_STATED = (FailureKind.CLOSED, FailureKind.ANSWERED)
_NETWORK = (
    FailureKind.NO_NAME,
    FailureKind.NO_ROUTE,
    FailureKind.CLOCK,
    FailureKind.INTERCEPTED,
    FailureKind.TIMEOUT,
    FailureKind.BROKEN,
)
_OPENING, _OPEN = Phase.OPENING, Phase.OPEN
_A, _C = LinkAction, LinkCause

TABLE: Final = (
    # The reason outweighs the code: 1011 is an internal error or an exhausted quota, 1008 an expired token or a tool
    # call that the person spoke over.
    Row(_STATED, _A.WAIT_QUOTA, _C.QUOTA, "1011 'You exceeded your current quota …', seen", reason=_QUOTA),
    Row((FailureKind.ANSWERED,), _A.WAIT_QUOTA, _C.QUOTA, "HTTP: too many requests", codes=(429,)),
    Row(_STATED, _A.GIVE_UP_AUTH, _C.REFUSED, "ai.google.dev, troubleshooting: account and region", reason=_ACCOUNT),
    Row(_STATED, _A.GIVE_UP_CONFIG, _C.REFUSED, "1008 '… is not found for API version …', seen", reason=_MODEL),
    Row(_STATED, _A.NEW_TOKEN, _C.REFUSED,
        "1008 'unregistered callers', 1007 'API key not valid', 1011 'Token has been used too many times', seen",
        reason=_CREDENTIAL),
    Row(_STATED, _A.FRESH_SESSION, _C.REFUSED, "a handle that is too old or unknown", phase=_OPENING, reason=_SESSION),
    Row(_STATED, _A.FRESH_SESSION, _C.PROTOCOL, "1007: the context is full, seen", reason=_CONTEXT),
    # Close codes
    Row((FailureKind.CLOSED,), _A.OMIT_FEATURE, _C.REFUSED, "1007 'Request contains an invalid argument.', seen",
        phase=_OPENING, codes=(1007,)),
    Row((FailureKind.CLOSED,), _A.OMIT_FEATURE, _C.REFUSED,
        "1008 'Operation is not implemented, or supported, …', seen",
        phase=_OPENING, codes=(1008,), reason=r"not implemented|not supported|not enabled"),
    Row((FailureKind.CLOSED,), _A.FRESH_SESSION, _C.REFUSED, "1008 without a known reason: handle or token",
        phase=_OPENING, codes=(1008,)),
    Row((FailureKind.CLOSED,), _A.BACK_OFF, _C.UNREACHABLE,
        "1011 'The service is currently unavailable.', seen; a session whose old connection is still open, seen",
        phase=_OPENING),
    Row((FailureKind.CLOSED,), _A.RETRY_NOW, _C.ENDED, "RFC 6455: normal closure", phase=_OPEN, codes=(1000,)),
    Row((FailureKind.CLOSED,), _A.FRESH_SESSION, _C.PROTOCOL, "1007 in mid-session; some sessions stay so, seen",
        phase=_OPEN, codes=(1007,)),
    Row((FailureKind.CLOSED,), _A.NEW_TOKEN, _C.DROPPED,
        "1008 may be a token that expired: the wording is not documented",
        phase=_OPEN, codes=(1008,)),
    Row((FailureKind.CLOSED,), _A.BACK_OFF, _C.DROPPED, "IANA registry: service restart, try again later",
        phase=_OPEN, codes=(1012, 1013)),
    Row((FailureKind.CLOSED,), _A.RETRY_NOW, _C.DROPPED,
        "1001 going away; 1006 broken off; 1011 'Deadline expired …' at the end of a connection's life, seen",
        phase=_OPEN),
    # HTTP statuses
    Row((FailureKind.ANSWERED,), _A.NEW_TOKEN, _C.REFUSED, "HTTP: the token is not accepted", codes=(400, 401, 403)),
    Row((FailureKind.ANSWERED,), _A.GIVE_UP_CONFIG, _C.REFUSED, "HTTP: no such API version or model", codes=(404,)),
    Row((FailureKind.ANSWERED,), _A.BACK_OFF, _C.UNREACHABLE, "HTTP: 5xx, redirections", phase=_OPENING),
    Row((FailureKind.ANSWERED,), _A.RETRY_NOW, _C.DROPPED, "an error message on an open link, seen", phase=_OPEN),
    # The network
    Row(_NETWORK, _A.RETRY_NOW, _C.DROPPED, "an open link broke: opening the next one tells why", phase=_OPEN),
    Row((FailureKind.CLOCK,), _A.CLOCK_WRONG, _C.UNREACHABLE, "OpenSSL: verify errors 9 and 10"),
    Row((FailureKind.NO_NAME, FailureKind.NO_ROUTE, FailureKind.INTERCEPTED), _A.OFFLINE, _C.UNREACHABLE,
        "no way out of this network"),
    Row((FailureKind.TIMEOUT, FailureKind.BROKEN), _A.BACK_OFF, _C.UNREACHABLE, "no answer, or connection refused"),
    Row((FailureKind.UNREADABLE,), _A.FRESH_SESSION, _C.PROTOCOL, "messages that the SDK cannot read, time after time"),
)  # fmt: skip
"""The first match wins. "Seen": reported of the real service in 2025 and 2026."""


def classify(failure: ConnectionFailure) -> Decision:
    """Return the decision about a failure; total."""
    row = next(row for row in TABLE if row.matches(failure))
    return Decision(row.action, row.cause)


def action_of(error: ApplianceError) -> LinkAction:
    """Return the action for an error of an attempt to open a link."""
    match error:
        case LinkError() | ProvisioningError():
            return error.action
        case _:
            return LinkAction.BACK_OFF


_SECRET: Final = re.compile(r"auth_tokens/[\w.~%+/=-]*|AIza[\w-]{8,}|AQ\.[\w-]{8,}")


def redacted(code: int, reason: str) -> str:
    """Return ``code: reason`` on one line of bounded length, without anything that looks like a token or a key."""
    line = " ".join(_SECRET.sub("…", reason).split())[:160]
    return f"{code}: {line}" if line else str(code)
