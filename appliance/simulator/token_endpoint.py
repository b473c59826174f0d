"""The simulator's token endpoint: ``POST /{version}/auth_tokens`` over HTTP/1.1, parsed by ``h11``.

Errors have Google's shape: ``{"error": {"code": 400, "message": …, "status": "INVALID_ARGUMENT"}}``.
"""

import asyncio
import contextlib
import json
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import h11

from appliance.simulator.contract.messages import ContractError, camel_case
from appliance.simulator.service import Service

_PATH: Final = re.compile(r"/{1,2}(v1alpha|v1beta|v1)/auth_tokens")
_MAX_BODY_BYTES: Final = 1 << 16
_IDLE_S: Final = 30.0
_READ_BYTES: Final = 1 << 16
_LOG: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Response:
    code: int
    body: Mapping[str, Any]


def _error(code: int, status: str, message: str) -> _Response:
    return _Response(code, {"error": {"code": code, "message": message, "status": status}})


_NO_KEY: Final = _error(403, "PERMISSION_DENIED", "Method doesn't allow unregistered callers. Please use API Key.")
_WRONG_KEY: Final = _error(400, "INVALID_ARGUMENT", "API key not valid. Please pass a valid API key.")
_REFUSED: Final = _error(403, "PERMISSION_DENIED", "The caller does not have permission.")
_NOT_FOUND: Final = _error(404, "NOT_FOUND", "The requested URL was not found on this server.")
_TOO_LARGE: Final = _error(413, "INVALID_ARGUMENT", "Request payload size exceeds the limit.")


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, received: bytes, service: Service) -> None:
    """Answer requests until the client closes, violates HTTP, or is idle for too long."""
    connection = h11.Connection(h11.SERVER)
    connection.receive_data(received)
    with contextlib.suppress(OSError, TimeoutError, h11.RemoteProtocolError):
        while connection.states[h11.CLIENT] is h11.IDLE:
            async with asyncio.timeout(_IDLE_S):
                request, body = await _request(connection, reader)
            if request is None:
                return
            response = _respond(service, request, body)
            _LOG.info("token request: %d", response.code)
            writer.write(_serialised(connection, response))
            await writer.drain()
            if connection.states[h11.CLIENT] is h11.DONE:
                connection.start_next_cycle()


async def _request(connection: h11.Connection, reader: asyncio.StreamReader) -> tuple[h11.Request | None, bytes]:
    """Return the next request and its body, truncated one byte beyond the limit; None at the end of the stream."""
    request, body = None, b""
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            connection.receive_data(await reader.read(_READ_BYTES))
        elif isinstance(event, h11.Request):
            request = event
        elif isinstance(event, h11.Data):
            body = (body + event.data)[: _MAX_BODY_BYTES + 1]
        elif isinstance(event, h11.EndOfMessage):
            return request, body
        else:
            return None, b""


def _respond(service: Service, request: h11.Request, body: bytes) -> _Response:
    key = dict(request.headers).get(b"x-goog-api-key")
    if request.method != b"POST" or not _PATH.fullmatch(request.target.decode("ascii", "replace")):
        return _NOT_FOUND
    if len(body) > _MAX_BODY_BYTES:
        return _TOO_LARGE
    if key is None:
        return _NO_KEY
    if key != service.options.api_key.encode():
        return _WRONG_KEY
    if service.options.refuse_tokens:
        return _REFUSED
    return _mint(service, body)


def _mint(service: Service, body: bytes) -> _Response:
    try:
        request: object = camel_case(json.loads(body or b"{}"))
        if not isinstance(request, dict):
            return _error(400, "INVALID_ARGUMENT", "The body must be a JSON object.")
        return _Response(200, {"name": service.tokens.mint(request)})
    except ContractError as error:
        return _error(400, "INVALID_ARGUMENT", error.reason)
    except (ValueError, RecursionError):
        return _error(400, "INVALID_ARGUMENT", "Invalid JSON payload received.")


def _serialised(connection: h11.Connection, response: _Response) -> bytes:
    body = json.dumps(response.body).encode()
    headers = [
        ("Content-Type", "application/json; charset=UTF-8"),
        ("Content-Length", str(len(body))),
    ]
    parts = (h11.Response(status_code=response.code, headers=headers), h11.Data(data=body), h11.EndOfMessage())
    return b"".join(connection.send(part) or b"" for part in parts)
