"""The server's HTTP routes: they read requests and write answers."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Annotated, Any, Final, TypeVar

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from fastapi import APIRouter, FastAPI, Path, Request, Response
from pydantic import BaseModel, ValidationError

from appliance.provisioning.common import keys
from appliance.provisioning.common.protocol import (
    DEVICE_PATH,
    ENROL_PATH,
    JSON,
    PROBLEM_JSON,
    ROTATE_PATH,
    SESSION_EVENTS_PATH,
    STATUS,
    TOKENS_PATH,
    TRUSTED_KEYS_HEADER,
    DeviceView,
    EnrolRequest,
    EnrolResponse,
    Problem,
    ProblemCode,
    RotateRequest,
    RotateResponse,
    SessionEvent,
    SessionEventResponse,
    TokenRequest,
    TokenResponse,
)
from appliance.provisioning.common.signatures import SIGNATURE_HEADERS, AnswerSigner, SignedRequest, normal_authority
from appliance.provisioning.server import problems
from appliance.provisioning.server.certificate import Certificate
from appliance.provisioning.server.connection_limits import ARRIVAL
from appliance.provisioning.server.errors import Refusal, RequestRefused, refused
from appliance.provisioning.server.metrics import Metrics
from appliance.provisioning.server.middleware import AcceptancePolicy, Drain, ProtocolMiddleware
from appliance.provisioning.server.ports import Upstream
from appliance.provisioning.server.problems import NO_STORE
from appliance.provisioning.server.request_queue import RequestQueue, UnqueuedUpstream
from appliance.provisioning.server.service import OK, IncomingRequest, ProvisioningService, ServerKeys
from appliance.provisioning.server.settings import ServerSettings
from appliance.provisioning.server.store import DatabaseStore, StoreUnavailable, check

SWEEP_S: Final = 60.0
"""Interval between sweeps for sessions without a token, and checks for a renewed certificate."""
CONTACT_DAYS: Final = 180
M = TypeVar("M", bound=BaseModel)
_NO_DATABASE: Final = Refusal(
    ProblemCode.INTERNAL, "the database does not answer", other_status=HTTPStatus.SERVICE_UNAVAILABLE
)
SessionId = Annotated[str, Path(pattern=r"^ses_[0-9a-z]{26}$")]
_log = logging.getLogger(__name__)


def utc_now() -> datetime:
    """Return the time of day."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class ServerParts:
    """The parts of a server. The application closes ``upstream`` and ``store`` when it stops."""

    settings: ServerSettings
    upstream: Upstream
    store: DatabaseStore
    key: Ed25519PrivateKey = field(repr=False)
    """The server's own key."""
    now: Callable[[], datetime] = utc_now
    drain: Drain = field(default_factory=Drain)
    metrics: Metrics = field(default_factory=Metrics)
    certificate: Certificate | None = None
    """Watched for renewal while the application runs; None: TLS is terminated elsewhere."""
    next_key: Ed25519PrivateKey | None = field(default=None, repr=False)
    """The key that will replace the server's own, and is announced until then."""
    previous_key: Ed25519PrivateKey | None = field(default=None, repr=False)
    """The key that the server's own replaced. It still signs for devices that do not know the new one yet."""
    queue: RequestQueue = field(default_factory=RequestQueue)
    """Limits the requests under way."""


PROTOCOL: Final = APIRouter()
OPERATIONS: Final = APIRouter(include_in_schema=False)


def create_app(parts: ServerParts) -> FastAPI:
    """Return the application."""
    signer = AnswerSigner(parts.key, [key for key in (parts.next_key, parts.previous_key) if key is not None])
    server_keys = ServerKeys(signer.named, newest=keys.thumbprint(parts.next_key or parts.key))
    service = ProvisioningService(
        parts.settings,
        UnqueuedUpstream(parts.upstream, parts.queue),
        parts.store,
        server_keys,
        parts.now,
        parts.metrics,
    )

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        del app
        ended = asyncio.Event()
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(_sweep_until(ended, service, parts))
                try:
                    yield
                finally:
                    ended.set()
        finally:
            await parts.upstream.aclose()
            parts.store.close()

    app = FastAPI(title="Provisioning", openapi_url=None, lifespan=lifespan)
    app.state.service = service
    app.state.parts = parts
    app.state.server_keys = signer.named
    problems.install(app)
    app.add_middleware(
        ProtocolMiddleware,
        signer=signer,
        now=parts.now,
        metrics=parts.metrics,
        acceptance=AcceptancePolicy(parts.drain, parts.queue, frozenset(map(normal_authority, parts.settings.names()))),
    )
    app.include_router(PROTOCOL)
    app.include_router(OPERATIONS)
    return app


async def _sweep_until(ended: asyncio.Event, service: ProvisioningService, parts: ServerParts) -> None:
    while not ended.is_set():
        if parts.certificate is not None:
            parts.certificate.check()
            parts.metrics.certificate(parts.certificate.expires_at)
        try:
            await service.sweep()
        except StoreUnavailable:
            _log.warning("the sweep is postponed: the database does not answer")
        try:
            async with asyncio.timeout(SWEEP_S):
                await ended.wait()
        except TimeoutError:
            continue


def _described(asked: type[BaseModel] | None, answered: type[BaseModel] | None, status: int = 200) -> dict[str, Any]:
    """Return a route's OpenAPI description. Bodies are described here, as routes read the signed bytes themselves."""
    body = {"required": True, "content": {JSON: {"schema": _inlined(asked.model_json_schema())}}} if asked else None
    refusals: dict[int | str, dict[str, Any]] = {
        int(code): {"description": code.phrase, "content": {PROBLEM_JSON: {"schema": Problem.model_json_schema()}}}
        for code in sorted(set(STATUS.values()))
    }
    success: dict[str, Any] = {"description": "Done"} | ({"model": answered} if answered else {})
    good = {200, status} if answered else {204}
    return {
        "responses": refusals | dict.fromkeys(good, success),
        "status_code": status if answered else 204,
        "response_class": Response,
        "openapi_extra": {"requestBody": body} if body else None,
    }


def _inlined(schema: dict[str, Any]) -> dict[str, Any]:
    """Return a model's schema with its definitions inlined: FastAPI collects them for responses only."""
    definitions = schema.pop("$defs", {})

    def placed(part: Any) -> Any:  # noqa: ANN401  JSON
        if isinstance(part, dict):
            name = str(part.get("$ref", "")).rpartition("/")[2]
            return placed(definitions[name]) if name else {key: placed(value) for key, value in part.items()}
        return [placed(value) for value in part] if isinstance(part, list) else part

    whole: dict[str, Any] = placed(schema)
    return whole


@PROTOCOL.post(TOKENS_PATH, **_described(TokenRequest, TokenResponse))
async def tokens(request: Request) -> Response:
    """Give a device a token."""
    incoming = await _incoming(request)
    return _json(await _service(request).tokens(incoming, _read_body(TokenRequest, request, incoming)))


@PROTOCOL.post(ENROL_PATH, **_described(EnrolRequest, EnrolResponse, 201))
async def enrol(request: Request) -> Response:
    """Enrol a device with a claim and a key."""
    incoming = await _incoming(request)
    answer, is_new = await _service(request).enrol(incoming, _read_body(EnrolRequest, request, incoming))
    return _json(answer, 201 if is_new else 200)


@PROTOCOL.get(DEVICE_PATH, **_described(None, DeviceView))
async def device(request: Request) -> Response:
    """Tell a device its status."""
    return _json(await _service(request).device(await _incoming(request)))


@PROTOCOL.delete(DEVICE_PATH, **_described(None, None))
async def reset(request: Request) -> Response:
    """Revoke a device at its own request."""
    await _service(request).reset(await _incoming(request))
    return _no_content()


@PROTOCOL.post(ROTATE_PATH, **_described(RotateRequest, RotateResponse))
async def rotate(request: Request) -> Response:
    """Add a device's next key."""
    incoming = await _incoming(request)
    return _json(await _service(request).rotate(incoming, _read_body(RotateRequest, request, incoming)))


@PROTOCOL.post(SESSION_EVENTS_PATH, **_described(SessionEvent, SessionEventResponse))
async def report(request: Request, session_id: SessionId) -> Response:
    """Record a session's event."""
    incoming = await _incoming(request)
    return _json(await _service(request).report(incoming, session_id, _read_body(SessionEvent, request, incoming)))


@OPERATIONS.get("/healthz")
async def healthz() -> dict[str, str]:
    """Show that the process answers."""
    return {"status": OK}


@OPERATIONS.get("/readyz")
async def readyz(request: Request) -> Response:
    """Say whether devices can be served.

    Ready even if the last mint failed: a load balancer that took the server out would also keep away the request that
    shows its recovery.
    """
    parts = _parts(request)
    if parts.drain.begun:
        raise refused(ProblemCode.DRAINING)
    try:
        await parts.store.transact(check)
    except StoreUnavailable:
        raise RequestRefused(_NO_DATABASE) from None
    return _json(_Readiness(status=OK, upstream=_service(request).upstream_health))


@OPERATIONS.get("/.well-known/security.txt")
async def security(request: Request) -> Response:
    """Say where to report a vulnerability (RFC 9116)."""
    parts = _parts(request)
    contact = parts.settings.security_contact
    if contact is None:
        raise refused(ProblemCode.NOT_FOUND)
    expires = parts.now() + timedelta(days=CONTACT_DAYS)
    return Response(f"Contact: {contact}\nExpires: {expires:%Y-%m-%dT%H:%M:%SZ}\n", media_type="text/plain")


def _service(request: Request) -> ProvisioningService:
    service: ProvisioningService = request.app.state.service
    return service


def _parts(request: Request) -> ServerParts:
    parts: ServerParts = request.app.state.parts
    return parts


class _Readiness(BaseModel):
    status: str
    upstream: str


async def _incoming(request: Request) -> IncomingRequest:
    signed = SignedRequest(request.method, _url(request), _signature_headers(request), await request.body())
    return IncomingRequest(
        signed=signed,
        agent=_printable(request.headers.get("user-agent", "")),
        client=request.client.host if request.client else "",
        arrival=request.scope.get("state", {}).get(ARRIVAL),
        trusted=request.headers.get(TRUSTED_KEYS_HEADER),
    )


def _printable(text: str) -> str:
    """Return the characters of a header that are safe to print."""
    return "".join(character for character in text if " " <= character <= "~")


def _url(request: Request) -> str:
    """Return the URL as the device wrote it. Always https: TLS may be terminated before this server."""
    path = request.scope.get("raw_path", b"").decode("latin-1")
    query = request.scope.get("query_string", b"").decode("latin-1")
    return f"https://{request.headers.get('host', '')}{path}{'?' if query else ''}{query}"


def _signature_headers(request: Request) -> dict[str, str]:
    return {name: request.headers.get(name, "") for name in SIGNATURE_HEADERS}


def _read_body(model: type[M], request: Request, incoming: IncomingRequest) -> M | Refusal:
    """Return the parsed body, or a refusal. Validation errors are returned only to an authenticated device."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != JSON:
        return Refusal(ProblemCode.UNSUPPORTED_MEDIA_TYPE, f"a request is {JSON}")
    try:
        return model.model_validate_json(incoming.signed.body)
    except ValidationError as error:
        wrong = ", ".join(".".join(map(str, detail["loc"])) or "the whole" for detail in error.errors())
        return Refusal(ProblemCode.INVALID_REQUEST, f"wrong: {wrong}"[:200])


def _json(answer: BaseModel, status: int = 200) -> Response:
    return Response(answer.model_dump_json(), status, headers=NO_STORE, media_type=JSON)


def _no_content() -> Response:
    return Response(status_code=204, headers=NO_STORE)
