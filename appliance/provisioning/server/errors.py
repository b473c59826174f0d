"""Why the server refuses a request. Pure."""

from dataclasses import dataclass
from http import HTTPStatus

from appliance.provisioning.common.protocol import MAX_RETRY_AFTER, STATUS, ProblemCode


@dataclass(frozen=True, slots=True)
class Refusal:
    """A refusal as the device receives it. Database work returns it rather than raise it, to commit its writes."""

    code: ProblemCode
    detail: str = ""
    """Contains nothing that would help an attacker to guess."""
    retry_after: int | None = None
    """Seconds."""
    last_sequence: int | None = None
    other_status: HTTPStatus | None = None
    """HTTP status, where it differs from the code's own."""

    @property
    def status(self) -> HTTPStatus:
        """HTTP status of the answer."""
        return self.other_status or STATUS[self.code]


class RequestRefused(Exception):  # noqa: N818  names a condition
    """Ends the request with a refusal."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.code.value)
        self.refusal = refusal


def refused(code: ProblemCode, detail: str = "", retry_after: int | None = None) -> RequestRefused:
    """Return the exception that ends a request with ``code``."""
    return RequestRefused(Refusal(code, detail, retry_after))


def retry_after_s(milliseconds: float) -> int:
    """Return a duration as whole seconds for ``Retry-After``: at least one."""
    return min(MAX_RETRY_AFTER, max(1, -round(-milliseconds // 1000)))
