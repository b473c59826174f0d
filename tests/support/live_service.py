"""The least of a Live service: TLS on loopback, one script for what it does once the set-up has come."""

import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import trustme
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from appliance.config.schema import LiveSettings
from appliance.live.gemini.connection import GeminiConnector
from appliance.live.ports import LiveToken, ToolDeclaration
from appliance.units import Seconds

TOKEN = "auth_tokens/a-secret-of-one-conversation"

Script = Callable[[ServerConnection], Awaitable[None]]
Door = Callable[[ServerConnection, Request], Response | None]


@dataclass
class Service:
    """A service that runs, and what it has been sent."""

    base_url: str
    ca_file: Path
    requests: list[Request] = field(default_factory=list)
    set_ups: list[str] = field(default_factory=list)

    def connector(self, *tools: ToolDeclaration, **settings: Any) -> GeminiConnector:
        return GeminiConnector(LiveSettings(ca_file=self.ca_file, **settings), tools)

    def token(self, value: str = TOKEN, model: str = "gemini-3.8-live") -> LiveToken:
        return LiveToken(value, model, "v1alpha", self.base_url, Seconds(0.0), Seconds(60.0), Seconds(1800.0))


async def say(connection: ServerConnection, *messages: Any) -> None:
    """Send messages as the service does: JSON in binary frames."""
    for message in messages:
        await connection.send(json.dumps(message).encode())


async def set_up(connection: ServerConnection) -> None:
    await say(connection, {"setupComplete": {}})


def saying(*messages: Any) -> Script:
    """Answer the set-up, send ``messages``, stay."""

    async def script(connection: ServerConnection) -> None:
        await set_up(connection)
        await say(connection, *messages)
        await connection.wait_closed()

    return script


def turn(*pcm_base64: str, **content: Any) -> dict[str, Any]:
    """A server message with audio."""
    parts = [{"inlineData": {"mimeType": "audio/pcm;rate=24000", "data": data}} for data in pcm_base64]
    return {"serverContent": {"modelTurn": {"role": "model", "parts": parts}, **content}}


@asynccontextmanager
async def live_service(folder: Path, script: Script, door: Door | None = None) -> AsyncIterator[Service]:
    """Serve ``script`` to every connection that ``door`` lets in."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / "ca.pem")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(tls)
    service = Service("", folder / "ca.pem")

    async def attend(connection: ServerConnection) -> None:
        assert connection.request is not None
        service.requests.append(connection.request)
        try:
            service.set_ups.append(str(await connection.recv()))
            await script(connection)
        except ConnectionClosed:
            pass

    async with serve(
        attend, "127.0.0.1", 0, ssl=tls, process_request=door, close_timeout=0.2, max_size=None, ping_interval=None
    ) as server:
        service.base_url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        yield service
