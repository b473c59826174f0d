"""The reason for which the server does not do what it was asked. Pure."""

from dataclasses import dataclass
from http import HTTPStatus

from appliance.provisioning.common.protocol import MAX_RETRY_AFTER, STATUS, ProblemCode


@dataclass(frozen=True, slots=True)
class Refusal:
    """What a device is told; work in the database returns it where what it wrote has to stay."""

    code: ProblemCode
    detail: str = ""
    """Says nothing that helps a guess."""
    retry_after: int | None = None
    """Seconds."""
    last_sequence: int | None = None
    other_status: HTTPStatus | None = None
    """Of the answer, where it is not the one that goes with the code."""

    @property
    def status(self) -> HTTPStatus:
        """Of the answer."""
        return self.other_status or STATUS[self.code]


class RequestRefused(Exception):  # noqa: N818  names a condition
    """The request ends here."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.code.value)
        self.refusal = refusal


def refused(code: ProblemCode, detail: str = "", retry_after: int | None = None) -> RequestRefused:
    """Return the exception that ends a request with ``code``."""
    return RequestRefused(Refusal(code, detail, retry_after))


def retry_after_s(milliseconds: float) -> int:
    """Return a duration as whole seconds for ``Retry-After``: at least one."""
    return min(MAX_RETRY_AFTER, max(1, -round(-milliseconds // 1000)))
