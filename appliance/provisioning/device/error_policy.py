"""The table of a device's reactions to the provisioning server's problems. Pure.

The light and the words for the household follow from the action (`live.failures`). A device never enrols by itself,
whatever the server answers.
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
    message: str
    """Follows the server's name in a message to the installer; ``{device}`` stands for the device."""
    needs_person: bool = False
    """A retry does not help."""


_VERSION_MISMATCH: Final = ErrorPolicy(
    LinkAction.GIVE_UP_CONFIG,
    "does not understand this device: update whichever of the two is older",
    needs_person=True,
)
_NO_SUCH_PATH: Final = ErrorPolicy(
    LinkAction.GIVE_UP_CONFIG, "does not know this address: update whichever of the two is older", needs_person=True
)
_DEVICE_REFUSED: Final = ErrorPolicy(
    LinkAction.GIVE_UP_AUTH,
    "does not accept {device} or its key: it was revoked, or is not this server's; `appliance forget`, "
    "and enrol with a new join string",
    needs_person=True,
)
_BLOCKED: Final = ErrorPolicy(LinkAction.GIVE_UP_AUTH, "has blocked {device}: ask its operator", needs_person=True)
_KEY_SHARED: Final = ErrorPolicy(
    LinkAction.GIVE_UP_AUTH,
    "has heard {device} from another machine: enrol each device by itself",
    needs_person=True,
)
_UNAVAILABLE: Final = ErrorPolicy(LinkAction.BACK_OFF, "cannot answer now")
_RATE_LIMITED: Final = ErrorPolicy(
    LinkAction.WAIT_QUOTA, "says that {device} begins too many conversations, one after another"
)

TABLE: Final[Mapping[ProblemCode, ErrorPolicy]] = MappingProxyType(
    {
        ProblemCode.MALFORMED: _VERSION_MISMATCH,
        ProblemCode.SIGNATURE_INVALID: _DEVICE_REFUSED,
        ProblemCode.CLAIM_INVALID: ErrorPolicy(
            LinkAction.GIVE_UP_AUTH,
            "does not accept the claim: it was used, has expired, or is of another server; ask its operator for a "
            "new join string",
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
        ProblemCode.NOT_FOUND: _NO_SUCH_PATH,
        ProblemCode.METHOD_NOT_ALLOWED: _NO_SUCH_PATH,
        ProblemCode.SEQUENCE_CONFLICT: _KEY_SHARED,
        ProblemCode.ALREADY_MINTED: ErrorPolicy(LinkAction.BACK_OFF, "says that it has given the token already"),
        ProblemCode.QUOTA_SESSIONS: ErrorPolicy(
            LinkAction.WAIT_QUOTA, "says that {device} has used up its conversations of today"
        ),
        ProblemCode.QUOTA_MINUTES: ErrorPolicy(
            LinkAction.WAIT_QUOTA, "says that {device} has used up its minutes of this month"
        ),
        ProblemCode.RATE_LIMITED: _RATE_LIMITED,
        ProblemCode.CONCURRENCY: ErrorPolicy(
            LinkAction.WAIT_QUOTA, "counts too many conversations of {device} at the same time"
        ),
        ProblemCode.TOO_LARGE: _VERSION_MISMATCH,
        ProblemCode.UNSUPPORTED_MEDIA_TYPE: _VERSION_MISMATCH,
        ProblemCode.INVALID_REQUEST: _VERSION_MISMATCH,
        ProblemCode.INTERNAL: _UNAVAILABLE,
        ProblemCode.OVERLOADED: ErrorPolicy(LinkAction.BACK_OFF, "has more requests than it can serve"),
        ProblemCode.UPSTREAM_REJECTED: ErrorPolicy(
            LinkAction.BACK_OFF, "is refused by the Live service: its operator has to check the API key"
        ),
        ProblemCode.UPSTREAM_UNAVAILABLE: ErrorPolicy(LinkAction.BACK_OFF, "does not reach the Live service"),
        ProblemCode.UPSTREAM_QUOTA: ErrorPolicy(
            LinkAction.WAIT_QUOTA, "has used up what the Live service allows to all of its devices"
        ),
        ProblemCode.DRAINING: ErrorPolicy(LinkAction.BACK_OFF, "is restarting"),
    }
)
"""All codes."""

_BY_STATUS: Final[Mapping[int, ErrorPolicy]] = MappingProxyType(
    {
        HTTPStatus.UNAUTHORIZED: _DEVICE_REFUSED,
        HTTPStatus.FORBIDDEN: _BLOCKED,
        HTTPStatus.CONFLICT: _KEY_SHARED,
        HTTPStatus.UPGRADE_REQUIRED: TABLE[ProblemCode.AGENT_TOO_OLD],
        HTTPStatus.TOO_MANY_REQUESTS: _RATE_LIMITED,
        HTTPStatus.REQUEST_TIMEOUT: _UNAVAILABLE,
    }
)
"""For codes of newer servers; any other 4xx is a version mismatch, and everything else is temporary."""


def policy_for(status: int, code: str | None) -> ErrorPolicy:
    """Return the policy for an answer with ``status`` and a problem's ``code``, if it has one."""
    known = next((row for name, row in TABLE.items() if name == code), None)
    return known or _BY_STATUS.get(status) or (_VERSION_MISMATCH if status // 100 == 4 else _UNAVAILABLE)


def error_for(status: int, problem: Problem | None, server: str, device_id: str | None) -> ProvisioningError:
    """Return the error for an answer of the server at ``server``; ``device_id``: None until enrolled.

    Of the answer's text only the code is repeated: the rest may be anything.
    """
    row = policy_for(status, problem.code if problem else None)
    code = f"{status}, {problem.code}" if problem else str(status)
    wait_s = float(problem.retry_after or 0) if problem else 0.0
    later = f"; it asks to wait {wait_s:.0f} s" if wait_s else ""
    device = "this device" if device_id is None else f"the device {device_id!r}"
    message = f"the provisioning server {server} {row.message.format(device=device)} ({code}){later}"
    return (TokenRefused if row.needs_person else ProvisioningUnreachable)(message, row.action, wait_s)
