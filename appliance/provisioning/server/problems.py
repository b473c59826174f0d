"""Every answer that is not a success, as problem details (RFC 9457): one shape, whoever refuses."""

from collections.abc import Mapping
from typing import Final

from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException

from appliance.provisioning.protocol import PROBLEM_JSON, STATUS, Problem, ProblemCode

NO_STORE: Final = {"cache-control": "no-store"}
_BY_STATUS: Final[Mapping[int, ProblemCode]] = {
    STATUS[code]: code for code in (ProblemCode.NOT_FOUND, ProblemCode.METHOD_NOT_ALLOWED)
}
"""What the framework refuses by itself."""


class Refused(Exception):  # noqa: N818  names a condition
    """The request ends here; ``detail`` is told to the device, so it says nothing that helps a guess."""

    def __init__(
        self,
        code: ProblemCode,
        detail: str = "",
        *,
        retry_after: int | None = None,
        last_sequence: int | None = None,
    ) -> None:
        super().__init__(code.value)
        self.code = code
        self.detail = detail
        self.retry_after = retry_after
        self.last_sequence = last_sequence


def install(app: FastAPI) -> None:
    """Have ``app`` answer with problem details wherever it does not succeed."""
    app.exception_handler(Refused)(_refused)
    app.exception_handler(HTTPException)(_routing)
    app.exception_handler(Exception)(_broken)


async def _refused(request: Request, error: Refused) -> Response:
    del request
    return _answer(error)


async def _routing(request: Request, error: HTTPException) -> Response:
    """Answer for the framework: no such path, or not with this method."""
    del request
    answer = _answer(Refused(_BY_STATUS.get(error.status_code, ProblemCode.MALFORMED)))
    answer.headers.update(error.headers or {})
    return answer


async def _broken(request: Request, error: Exception) -> Response:
    """Answer for a mistake of ours; the framework raises it again for the log."""
    del request, error
    return _answer(Refused(ProblemCode.INTERNAL))


def _answer(refused: Refused) -> Response:
    status = STATUS[refused.code]
    problem = Problem(
        type=f"urn:voice-appliance:problem:{refused.code}",
        title=status.phrase,
        status=status,
        detail=refused.detail,
        code=refused.code,
        retry_after=refused.retry_after,
        last_sequence=refused.last_sequence,
    )
    headers = dict(NO_STORE)
    if refused.retry_after is not None:
        headers["retry-after"] = str(refused.retry_after)
    body = problem.model_dump_json(exclude_none=True)
    return Response(body, status_code=status, headers=headers, media_type=PROBLEM_JSON)
