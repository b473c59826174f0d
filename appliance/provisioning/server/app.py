"""The HTTP face of the provisioning server: who asks, what for, and the answer."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Final

from fastapi import FastAPI, Request, Response
from pydantic import ValidationError
from starlette.requests import ClientDisconnect

from appliance.provisioning.protocol import (
    JSON,
    MAX_REQUEST_BYTES,
    TOKENS_PATH,
    ProblemCode,
    TokenRequest,
    TokenResponse,
)
from appliance.provisioning.server import problems
from appliance.provisioning.server.devices import Devices
from appliance.provisioning.server.policy import effective, mint_spec
from appliance.provisioning.server.ports import Upstream, UpstreamError
from appliance.provisioning.server.problems import NO_STORE, Refused
from appliance.provisioning.server.settings import Settings
from appliance.provisioning.signing import SIGNATURE_HEADERS, SignedRequest

BODY_S: Final = 5.0
"""The longest wait for a request's body."""
RETRY_AFTER_S: Final = {ProblemCode.UPSTREAM_QUOTA: 60, ProblemCode.UPSTREAM_UNAVAILABLE: 5}
UNTRIED: Final = "untried"
OK: Final = "ok"

_log = logging.getLogger(__name__)


def _utc_now() -> datetime:
    return datetime.now(UTC)


class TokenDesk:
    """Hands tokens to devices."""

    def __init__(self, settings: Settings, upstream: Upstream, now: Callable[[], datetime]) -> None:
        self._settings = settings
        self._upstream = upstream
        self._now = now
        self._devices = Devices(settings.devices, settings.authorities)
        self.upstream_health: str = UNTRIED
        """How the last attempt to mint ended: "ok", or the code of the problem."""

    async def answer(self, request: Request) -> TokenResponse:
        """Answer ``POST /v1/tokens``; raises Refused."""
        signed = SignedRequest(request.method, _url(request), _signature_headers(request), await _body(request))
        device_id = self._devices.admit(signed, request.headers.get("host", ""))
        asked = _token_request(request, signed.body)
        response = await self._mint(asked, device_id)
        _log.info("device %s: token for a session (%s, %s)", device_id, asked.mode, asked.purpose)
        return response

    async def _mint(self, asked: TokenRequest, device_id: str) -> TokenResponse:
        now = self._now()
        spec = mint_spec(self._settings, asked, now)
        try:
            token = await self._upstream.mint(spec)
        except UpstreamError as error:
            self.upstream_health = error.code
            _log.warning("device %s: no token: %s: %s", device_id, error.code, error)
            raise Refused(error.code, retry_after=RETRY_AFTER_S.get(error.code)) from None
        self.upstream_health = OK
        return TokenResponse(
            token=token,
            model=self._settings.model,
            api_version=self._settings.api_version,
            base_url=self._settings.live_base_url,
            new_session_expires_at=spec.new_session_expires_at,
            expires_at=spec.expires_at,
            # Taken before the token was minted: a device thinks its token a little older than it is, never younger.
            server_time=now,
            effective=effective(self._settings),
        )


def create_app(settings: Settings, upstream: Upstream, now: Callable[[], datetime] = _utc_now) -> FastAPI:
    """Return the application; it closes ``upstream`` when it ends."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        del app
        try:
            yield
        finally:
            await upstream.aclose()

    app = FastAPI(openapi_url=None, lifespan=lifespan)
    problems.install(app)
    desk = TokenDesk(settings, upstream, now)

    @app.post(TOKENS_PATH)
    async def tokens(request: Request) -> Response:
        answer = await desk.answer(request)
        return Response(answer.model_dump_json(), headers=NO_STORE, media_type=JSON)

    @app.get("/healthz")
    async def healthz() -> dict[str, str]:
        return {"status": OK}

    @app.get("/readyz")
    async def readyz() -> dict[str, str]:
        # Ready even when the last token could not be had: a balancer that took the server out for it would also keep
        # away the request that shows that all is well again.
        return {"status": OK, "upstream": desk.upstream_health}

    return app


def _url(request: Request) -> str:
    """Return the address as the device wrote it: TLS may end before this server, so it is https in any case."""
    path = request.scope.get("raw_path", b"").decode("latin-1")
    return f"https://{request.headers.get('host', '')}{path}"


def _signature_headers(request: Request) -> dict[str, str]:
    """Return the headers of the signature; one that was sent twice becomes a list, which the profile refuses."""
    return {name: ", ".join(request.headers.getlist(name)) for name in SIGNATURE_HEADERS}


async def _body(request: Request) -> bytes:
    """Read the body, and no more than its bound."""
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_S):
            async for chunk in request.stream():
                body += chunk
                if len(body) > MAX_REQUEST_BYTES:
                    raise Refused(ProblemCode.TOO_LARGE, f"a request is at most {MAX_REQUEST_BYTES} bytes")
    except (TimeoutError, ClientDisconnect):
        raise Refused(ProblemCode.MALFORMED, "the body did not arrive") from None
    return bytes(body)


def _token_request(request: Request, body: bytes) -> TokenRequest:
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != JSON:
        raise Refused(ProblemCode.UNSUPPORTED_MEDIA_TYPE, f"a request is {JSON}")
    try:
        return TokenRequest.model_validate_json(body)
    except ValidationError as error:
        fields = ", ".join(".".join(map(str, detail["loc"])) or "the whole" for detail in error.errors())
        raise Refused(ProblemCode.INVALID_REQUEST, f"wrong: {fields}"[:200]) from None
