"""What a device makes of each answer of the provisioning server that is not a success: one table. Pure.

The light and the words that the household gets follow from the action (`live.failures.TOLD`). A device never enrols by
itself, whatever it is told.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from types import MappingProxyType
from typing import Final

from appliance.errors import LinkAction, ProvisioningError, ProvisioningUnreachable, TokenRefused
from appliance.provisioning.common.protocol import Problem, ProblemCode


@dataclass(frozen=True, slots=True)
class ErrorPolicy:
    """One line of the table."""

    action: LinkAction
    words: str
    """What the server does, for the installer: follows its name; ``{device}`` stands for the device."""
    needs_person: bool = False
    """Asking again does not help."""


_OLDER: Final = ErrorPolicy(
    LinkAction.GIVE_UP_CONFIG, "does not understand this device: update the older of the two", needs_person=True
)
_NO_SERVER: Final = ErrorPolicy(
    LinkAction.GIVE_UP_CONFIG, "knows no such address: update the older of the two", needs_person=True
)
_UNKNOWN: Final = ErrorPolicy(
    LinkAction.GIVE_UP_AUTH,
    "does not accept {device} or its key: it was revoked, or is not this server's; `appliance forget`, "
    "and enrol with a new join string",
    needs_person=True,
)
_BLOCKED: Final = ErrorPolicy(LinkAction.GIVE_UP_AUTH, "has blocked {device}: ask who runs it", needs_person=True)
_TWICE: Final = ErrorPolicy(
    LinkAction.GIVE_UP_AUTH,
    "has heard {device} from another machine: give each device a key of its own",
    needs_person=True,
)
_CANNOT: Final = ErrorPolicy(LinkAction.BACK_OFF, "cannot serve now")
_PLENTY: Final = ErrorPolicy(
    LinkAction.WAIT_QUOTA, "says that {device} begins too many conversations, one after another"
)

TABLE: Final[Mapping[ProblemCode, ErrorPolicy]] = MappingProxyType(
    {
        ProblemCode.MALFORMED: _OLDER,
        ProblemCode.SIGNATURE_INVALID: _UNKNOWN,
        ProblemCode.CLAIM_INVALID: ErrorPolicy(
            LinkAction.GIVE_UP_AUTH,
            "does not accept the claim: it was used, has expired, or is of another server; ask who runs it for a new "
            "join string",
            needs_person=True,
        ),
        ProblemCode.DEVICE_PENDING: ErrorPolicy(
            LinkAction.GIVE_UP_AUTH,
            "waits for its operator to approve {device}: `admin devices approve` there",
            needs_person=True,
        ),
        ProblemCode.DEVICE_SUSPENDED: _BLOCKED,
        ProblemCode.AGENT_TOO_OLD: ErrorPolicy(
            LinkAction.GIVE_UP_CONFIG, "wants a newer version of the appliance: update it", needs_person=True
        ),
        ProblemCode.NOT_FOUND: _NO_SERVER,
        ProblemCode.METHOD_NOT_ALLOWED: _NO_SERVER,
        ProblemCode.SEQUENCE_CONFLICT: _TWICE,
        ProblemCode.ALREADY_MINTED: ErrorPolicy(LinkAction.BACK_OFF, "says that it has given the token already"),
        ProblemCode.QUOTA_SESSIONS: ErrorPolicy(
            LinkAction.WAIT_QUOTA, "says that {device} has used up its conversations of today"
        ),
        ProblemCode.QUOTA_MINUTES: ErrorPolicy(
            LinkAction.WAIT_QUOTA, "says that {device} has used up its minutes of this month"
        ),
        ProblemCode.RATE_LIMITED: _PLENTY,
        ProblemCode.CONCURRENCY: ErrorPolicy(
            LinkAction.WAIT_QUOTA, "counts too many conversations of {device} at the same time"
        ),
        ProblemCode.TOO_LARGE: _OLDER,
        ProblemCode.UNSUPPORTED_MEDIA_TYPE: _OLDER,
        ProblemCode.INVALID_REQUEST: _OLDER,
        ProblemCode.INTERNAL: _CANNOT,
        ProblemCode.OVERLOADED: ErrorPolicy(LinkAction.BACK_OFF, "has more requests than it can serve"),
        ProblemCode.UPSTREAM_REJECTED: ErrorPolicy(
            LinkAction.BACK_OFF, "is refused by the Live service: whoever runs it has to look at its API key"
        ),
        ProblemCode.UPSTREAM_UNAVAILABLE: ErrorPolicy(LinkAction.BACK_OFF, "does not reach the Live service"),
        ProblemCode.UPSTREAM_QUOTA: ErrorPolicy(
            LinkAction.WAIT_QUOTA, "has used up what the Live service allows to all of its devices"
        ),
        ProblemCode.DRAINING: ErrorPolicy(LinkAction.BACK_OFF, "is starting afresh"),
    }
)
"""Every code that there is."""

_BY_STATUS: Final[Mapping[int, ErrorPolicy]] = MappingProxyType(
    {
        HTTPStatus.UNAUTHORIZED: _UNKNOWN,
        HTTPStatus.FORBIDDEN: _BLOCKED,
        HTTPStatus.CONFLICT: _TWICE,
        HTTPStatus.UPGRADE_REQUIRED: TABLE[ProblemCode.AGENT_TOO_OLD],
        HTTPStatus.TOO_MANY_REQUESTS: _PLENTY,
        HTTPStatus.REQUEST_TIMEOUT: _CANNOT,
    }
)
"""For codes of newer servers; the others of 4xx are not understood, and all else passes."""


def reaction(status: int, code: str | None) -> ErrorPolicy:
    """Return what to make of an answer with ``status`` and, where it tells of a problem, the problem's ``code``."""
    known = next((row for name, row in TABLE.items() if name == code), None)
    return known or _BY_STATUS.get(status) or (_OLDER if status // 100 == 4 else _CANNOT)


def refusal(status: int, problem: Problem | None, server: str, device_id: str | None) -> ProvisioningError:
    """Return the error that an answer of the server at ``server`` stands for; ``device_id``: None until enrolled.

    Of the answer's own words only the code is repeated, as the rest may be anything.
    """
    row = reaction(status, problem.code if problem else None)
    code = f"{status}, {problem.code}" if problem else str(status)
    wait_s = float(problem.retry_after or 0) if problem else 0.0
    later = f"; it asks to wait {wait_s:.0f} s" if wait_s else ""
    device = "this device" if device_id is None else f"the device {device_id!r}"
    words = f"the provisioning server {server} {row.words.format(device=device)} ({code}){later}"
    return (TokenRefused if row.needs_person else ProvisioningUnreachable)(words, row.action, wait_s)
