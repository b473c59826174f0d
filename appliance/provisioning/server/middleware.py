"""ASGI middleware that refuses malformed requests and signs every answer."""

import asyncio
import logging
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from appliance.provisioning.common.protocol import (
    MAX_REQUEST_BYTES,
    PROBLEM_JSON,
    STATUS,
    TRUSTED_KEYS_HEADER,
    ProblemCode,
    ServerKey,
)
from appliance.provisioning.common.signatures import (
    SIGNATURE_HEADERS,
    AnswerSigner,
    is_authority,
    normal_authority,
    well_formed,
)
from appliance.provisioning.server.connection_limits import ARRIVAL, RequestArrival
from appliance.provisioning.server.errors import Refusal
from appliance.provisioning.server.metrics import Metrics
from appliance.provisioning.server.problems import problem_body, problem_headers
from appliance.provisioning.server.request_queue import RequestQueue

PROTOCOL: Final = "/v1/"
BODY_S: Final = 5.0
"""Longest wait for a request's body."""
_LATE: Final = Refusal(ProblemCode.MALFORMED, "the body did not arrive")
_LONG: Final = Refusal(ProblemCode.TOO_LARGE, f"a request is at most {MAX_REQUEST_BYTES} bytes")
_HOST: Final = b"host"
_TRUSTED: Final = TRUSTED_KEYS_HEADER.encode("ascii")
_READ: Final = frozenset({_HOST, _TRUSTED, *(name.encode("ascii") for name in SIGNATURE_HEADERS)})
_UNSIGNED: Final = Refusal(ProblemCode.SIGNATURE_INVALID)
_DRAINING: Final = Refusal(ProblemCode.DRAINING, retry_after=2)
_log = logging.getLogger(__name__)


class Drain:
    """Set when the server is about to stop."""

    def __init__(self) -> None:
        self.begun = False

    def begin(self) -> None:
        """Refuse new requests from now on."""
        self.begun = True


@dataclass(frozen=True, slots=True)
class AcceptancePolicy:
    """Decides which requests reach the application."""

    drain: Drain
    """Refuses every request once the server is about to stop."""
    queue: RequestQueue
    """Limits the requests under way."""
    authorities: frozenset[str]
    """Names of this server, as `normal_authority` returns them; empty: any."""


class ProtocolMiddleware:
    """Wraps an ASGI application.

    A protocol request without a well-formed signature, or addressed to another server, is refused before its body is
    read. Others are read and queued; one that waits too long is refused before anything is computed or looked up for
    it. Answers to well-formed requests are signed with the server's key, refusals too.

    Args:
        app: The wrapped application.
        signer: Signs answers.
        now: Returns the wall-clock time.
        metrics: Counts answers.
        acceptance: Decides which requests are accepted.
    """

    def __init__(
        self,
        app: ASGIApp,
        signer: AnswerSigner,
        now: Callable[[], datetime],
        metrics: Metrics,
        acceptance: AcceptancePolicy,
    ) -> None:
        self._app = app
        self._signer = signer
        self._now = now
        self._metrics = metrics
        self._acceptance = acceptance
        self._unsigned = _ready_made(_UNSIGNED, signer.named)
        self._draining = _ready_made(_DRAINING, signer.named)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http" or not scope["path"].startswith(PROTOCOL):
            await self._app(scope, receive, send)
            return
        covered = _covered_parts(scope)
        if covered is None:
            self._metrics.refused(_UNSIGNED.code)
            self._metrics.answered(STATUS[_UNSIGNED.code])
            await _refuse(self._unsigned, scope, send)
            return
        answer = _SigningSend(send, self._sign, covered)
        if self._acceptance.authorities and normal_authority(covered.authority) not in self._acceptance.authorities:
            self._metrics.refused(_UNSIGNED.code)
            _log.info("refused: addressed to a name that is not in authorities")
            await _refuse(self._unsigned, scope, answer.send)
        elif self._acceptance.drain.begun:
            self._metrics.refused(_DRAINING.code)
            await _refuse(self._draining, scope, answer.send)
        else:
            await self._serve(scope, receive, answer.send)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Have the application answer, once the request gets a place in the queue."""
        loop = asyncio.get_running_loop()
        arrival: RequestArrival = scope.get("state", {}).get(ARRIVAL) or RequestArrival(loop.time())
        body = await read_body(receive)
        if isinstance(body, Refusal):
            await self._refuse_with(body, scope, send)
        elif not await self._acceptance.queue.enter(arrival.came_at):
            await self._refuse_with(
                Refusal(ProblemCode.OVERLOADED, retry_after=self._acceptance.queue.retry_after()), scope, send
            )
        else:
            try:
                if not arrival.is_gone:
                    await self._app(scope, replay_body(body), send)
            finally:
                self._acceptance.queue.leave()

    async def _refuse_with(self, refusal: Refusal, scope: Scope, send: Send) -> None:
        self._metrics.refused(refusal.code)
        await _refuse(_ready_made(refusal, self._signer.named), scope, send)

    def _sign(self, status: int, body: bytes, covered: "_CoveredParts") -> dict[str, str]:
        self._metrics.answered(status)
        created = int(self._now().timestamp())
        return self._signer.headers(status, body, covered.path, covered.signature, created, covered.trusted)


@dataclass(frozen=True, slots=True)
class _CoveredParts:
    """The parts of a request that its answer's signature covers."""

    authority: str
    """The ``Host`` header."""
    path: str
    """As sent, and as signed."""
    signature: str
    """The ``signature`` header."""
    trusted: str
    """The `TRUSTED_KEYS_HEADER` header; empty: none."""


class _SigningSend:
    """Holds an answer back until its body is complete, and adds the signature. Answers are small."""

    def __init__(
        self, send: Send, sign: Callable[[int, bytes, _CoveredParts], dict[str, str]], covered: _CoveredParts
    ) -> None:
        self._send = send
        self._sign = sign
        self._covered = covered
        self._start: Message = {}
        self._body = b""

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._start = message
            return
        self._body += message.get("body", b"")
        if message.get("more_body", False):
            return
        headers = self._sign(self._start["status"], self._body, self._covered)
        headers["x-request-id"] = secrets.token_hex(8)
        added = [(name.encode("ascii"), value.encode("ascii")) for name, value in headers.items()]
        await self._send({**self._start, "headers": [*self._start["headers"], *added]})
        await self._send({"type": "http.response.body", "body": self._body})


def _covered_parts(scope: Scope) -> _CoveredParts | None:
    """Return what an answer's signature covers; None for a malformed signature or a header that comes twice."""
    path: bytes = scope["raw_path"]
    if path != scope["path"].encode():
        return None  # escaped: the path served would differ from the path signed
    found: dict[bytes, str] = {}
    for name, value in scope["headers"]:
        if name in _READ:
            if name in found:
                return None
            found[name] = value.decode("latin-1")
    signature = {name: found.get(name.encode("ascii"), "") for name in SIGNATURE_HEADERS}
    if not is_authority(found.get(_HOST, "")) or not path.isascii() or not well_formed(signature):
        return None
    return _CoveredParts(found[_HOST], path.decode("ascii"), signature["signature"], found.get(_TRUSTED, ""))


async def _refuse(ready_made: tuple[Message, Message], scope: Scope, send: Send) -> None:
    start, body = ready_made
    if not _is_small(scope):
        # The rest of the body will not be read.
        start = {**start, "headers": [*start["headers"], (b"connection", b"close")]}
    await send(start)
    await send(body)


def _is_small(scope: Scope) -> bool:
    """Say whether the request announces a body within the limit."""
    for name, value in scope["headers"]:
        if name == b"transfer-encoding":
            return False
        if name == b"content-length":
            return value.isdigit() and len(value) < 5 and int(value) <= MAX_REQUEST_BYTES
    return True


def _ready_made(refusal: Refusal, named: tuple[ServerKey, ...]) -> tuple[Message, Message]:
    body = problem_body(refusal, named)
    headers = {
        **problem_headers(refusal),
        "content-type": PROBLEM_JSON,
        "content-length": str(len(body)),
    }
    encoded = [(name.encode("ascii"), value.encode("ascii")) for name, value in headers.items()]
    start = {"type": "http.response.start", "status": int(STATUS[refusal.code]), "headers": encoded}
    return start, {"type": "http.response.body", "body": body}


async def read_body(receive: Receive) -> bytes | Refusal:
    """Return the whole body, or a refusal if it is too long or too slow."""
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_S):
            more = True
            while more:
                message = await receive()
                if message["type"] != "http.request":
                    return _LATE
                body += message.get("body", b"")
                more = message.get("more_body", False)
                if len(body) > MAX_REQUEST_BYTES:
                    return _LONG
    except TimeoutError:
        return _LATE
    return bytes(body)


def replay_body(body: bytes) -> Receive:
    """Return a ``receive`` that gives the application the body already read."""
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Message:
        return messages.pop() if messages else {"type": "http.disconnect"}

    return receive
