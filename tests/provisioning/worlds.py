"""What the tests of both halves are set in: one device, one server, a service that mints what it is told to."""

import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import httpx2
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from appliance.provisioning import signing
from appliance.provisioning.protocol import JSON, TOKENS_PATH
from appliance.provisioning.server.app import create_app
from appliance.provisioning.server.ports import MintSpec, UpstreamError
from appliance.provisioning.server.settings import Settings

API_KEY = "AIza-the-key-that-nobody-may-see"
TOKEN = "auth_tokens/the-token-that-no-log-may-hold"
DEVICE = "kitchen"
SERVER = "https://provisioning.test"
NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
PEM = signing.new_private_key()
KEY = signing.private_key(PEM)
ASKED = b'{"mode":"wake","purpose":"new","profile":"default"}'


@dataclass
class FakeUpstream:
    """Implements `server.ports.Upstream`."""

    failure: UpstreamError | None = None
    specs: list[MintSpec] = field(default_factory=list)
    closed: bool = False

    async def mint(self, spec: MintSpec) -> str:
        self.specs.append(spec)
        if self.failure:
            raise self.failure
        return TOKEN

    async def aclose(self) -> None:
        self.closed = True


@contextmanager
def dead_address() -> Iterator[str]:
    """Yield an address where connections are refused: the port is held, and nobody listens."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield f"https://127.0.0.1:{held.getsockname()[1]}"


def server_settings(**changed: Any) -> Settings:
    values = {"api_key": API_KEY, "devices": {DEVICE: signing.public_key_text(KEY)}}
    return Settings(**{**values, **changed})


def transport(upstream: FakeUpstream | None = None, **changed: Any) -> httpx2.ASGITransport:
    """Return the server of ``server_settings(**changed)``, in this process, without a socket."""
    app = create_app(server_settings(**changed), upstream or FakeUpstream(), lambda: NOW)
    return httpx2.ASGITransport(app, raise_app_exceptions=False)


def signed_headers(
    sequence: int = 1, body: bytes = ASKED, device: str = DEVICE, key: Ed25519PrivateKey = KEY
) -> dict[str, str]:
    request = signing.SignedRequest("POST", f"{SERVER}{TOKENS_PATH}", {}, body)
    return {"content-type": JSON, **signing.sign(request, key, signing.Signer(device, sequence), NOW)}


async def post(
    carrier: httpx2.AsyncBaseTransport, headers: Mapping[str, str], body: bytes = ASKED, path: str = TOKENS_PATH
) -> httpx2.Response:
    async with httpx2.AsyncClient(transport=carrier) as http:
        return await http.post(f"{SERVER}{path}", content=body, headers=dict(headers))
