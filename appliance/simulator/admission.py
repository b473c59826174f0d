"""Who may begin a session: decided by the first message, as the service does it, not when the socket opens."""

import asyncio
import logging
import re
from typing import Final
from urllib.parse import parse_qs, urlsplit

from websockets.http11 import Request

from appliance.simulator.service import Service
from appliance.simulator.session import Session
from appliance.simulator.setup import Lock, Setup, parse_setup
from appliance.simulator.tokens import Purpose, Token
from appliance.simulator.websocket import WebSocket
from appliance.simulator.wire import POLICY_VIOLATION, ContractError, invalid, parse
from appliance.units import Seconds

_PATH: Final = re.compile(
    r"/{1,2}ws/google\.ai\.generativelanguage\.(v1alpha|v1beta|v1)"
    r"\.GenerativeService\.BidiGenerateContent(?P<constrained>Constrained)?"
)
_LOG: Final = logging.getLogger(__name__)


def is_live_path(target: str) -> bool:
    """Tell whether a request target is the Live API's, with one slash before it or two, as the SDK sends it."""
    return _PATH.fullmatch(_path(target)) is not None


async def admit(socket: WebSocket, request: Request, service: Service) -> Session | None:
    """Wait for the set-up and return a session for it; None where the connection ends or is refused instead."""
    payload = await socket.receive()
    if payload is None:
        return None
    try:
        name, content = parse(payload)
        if name != "setup":
            raise invalid("The first message must be setup.")
        token = _token(request, service)
        lock = token.lock if token else Lock()
        setup = parse_setup(lock.applied(content))
        position = _position(setup, service)
        if token is not None:
            purpose = Purpose.RESUME if setup.handle else Purpose.NEW
            token.begin(purpose, Seconds(asyncio.get_running_loop().time()))
    except ContractError as error:
        _LOG.info("set-up refused with %d: %s", error.code, error.reason)
        await socket.close(error.code, error.reason)
        while await socket.receive() is not None:
            pass  # what comes after the close frame does not count
        return None
    return Session(socket, service, setup, token, position)


def _path(target: str) -> str:
    # urlsplit would take what follows a doubled slash for a host name
    return target.partition("?")[0]


def _token(request: Request, service: Service) -> Token | None:
    """Return the token of a constrained connection, None for one that shows the API key; raises ContractError."""
    match = _PATH.fullmatch(_path(request.path))
    if match is None or match["constrained"] is None:
        if _header(request, "x-goog-api-key") != service.options.api_key:
            raise ContractError(POLICY_VIOLATION, "API key not valid. Please pass a valid API key.")
        return None
    scheme, _, name = _header(request, "Authorization").partition(" ")
    if scheme != "Token":
        name = parse_qs(urlsplit(request.path).query).get("access_token", [""])[0]
    return service.tokens.find(name)


def _header(request: Request, name: str) -> str:
    return "".join(request.headers.get_all(name))


def _position(setup: Setup, service: Service) -> int:
    if setup.handle is None:
        return 0
    position = service.position(setup.handle)
    if position is None:
        raise invalid("Unknown session handle.")
    return position
