"""Error answers as problem details (RFC 9457), whoever refuses."""

from collections.abc import Mapping
from typing import Final

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from appliance.provisioning.common.protocol import PROBLEM_JSON, STATUS, Problem, ProblemCode, ServerKey
from appliance.provisioning.server.errors import Refusal, RequestRefused
from appliance.provisioning.server.metrics import Metrics
from appliance.provisioning.server.store import StoreUnavailable

NO_STORE: Final = {"cache-control": "no-store"}
_BY_STATUS: Final[Mapping[int, ProblemCode]] = {
    STATUS[code]: code for code in (ProblemCode.NOT_FOUND, ProblemCode.METHOD_NOT_ALLOWED)
}
"""Codes of errors that the framework raises itself."""


def install(app: FastAPI) -> None:
    """Make ``app`` answer every error with problem details."""
    app.exception_handler(RequestRefused)(_refused)
    app.exception_handler(StoreUnavailable)(_store_fails)
    app.exception_handler(HTTPException)(_routing)
    app.exception_handler(RequestValidationError)(_invalid)
    app.exception_handler(Exception)(_broken)


def problem_body(refusal: Refusal, server_keys: tuple[ServerKey, ...]) -> bytes:
    """Return a refusal's problem details, which name the server's keys."""
    problem = Problem(
        type=f"urn:voice-appliance:problem:{refusal.code}",
        title=refusal.status.phrase,
        status=refusal.status,
        detail=refusal.detail,
        code=refusal.code,
        retry_after=refusal.retry_after,
        last_sequence=refusal.last_sequence,
        server_keys=server_keys,
    )
    return problem.model_dump_json(exclude_none=True).encode()


def problem_headers(refusal: Refusal) -> dict[str, str]:
    """Return a refusal's headers."""
    waiting = {} if refusal.retry_after is None else {"retry-after": str(refusal.retry_after)}
    return {**NO_STORE, **waiting}


async def _refused(request: Request, error: RequestRefused) -> Response:
    return _answer(request, error.refusal)


async def _store_fails(request: Request, error: StoreUnavailable) -> Response:
    """Answer for the database; the cause is in the log."""
    del error
    return _answer(request, Refusal(ProblemCode.INTERNAL))


async def _routing(request: Request, error: HTTPException) -> Response:
    """Answer for the framework: unknown path or method."""
    answer = _answer(request, Refusal(_BY_STATUS.get(error.status_code, ProblemCode.MALFORMED)))
    answer.headers.update(error.headers or {})
    return answer


async def _invalid(request: Request, error: RequestValidationError) -> Response:
    """Answer for the framework: invalid path parameter."""
    del error
    return _answer(request, Refusal(ProblemCode.INVALID_REQUEST))


async def _broken(request: Request, error: Exception) -> Response:
    """Answer for a bug; the framework raises it again for the log."""
    del error
    return _answer(request, Refusal(ProblemCode.INTERNAL))


def _answer(request: Request, refusal: Refusal) -> Response:
    metrics: Metrics = request.app.state.parts.metrics
    metrics.refused(refusal.code)
    body = problem_body(refusal, request.app.state.server_keys)
    return Response(body, status_code=refusal.status, headers=problem_headers(refusal), media_type=PROBLEM_JSON)
