"""Simulated devices: keys of their own, real signatures, one connection, and answers that they check."""

import asyncio
import json
import ssl
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from typing import Final, Self
from urllib.parse import urlsplit

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from sqlalchemy import Connection, insert

from appliance.provisioning.common import keys, signatures
from appliance.provisioning.common.protocol import JSON, TOKENS_PATH
from appliance.provisioning.server import migrate
from appliance.provisioning.server.schema import DEVICE, DEVICE_KEY
from appliance.provisioning.server.store import DatabaseStore, open_engine

BODY: Final = b'{"mode":"wake","purpose":"new","profile":"default"}'
ENROLLED_AT: Final = 1_790_000_000_000


@dataclass(slots=True)
class Device:
    """One device; its keys are made before anything is measured."""

    id: str
    key: Ed25519PrivateKey = field(repr=False)
    sequence: int = 0

    def sign(self, url: str) -> signatures.SignedRequest:
        """Return its next request for a token, signed."""
        self.sequence += 1
        bare = signatures.SignedRequest("POST", f"{url}{TOKENS_PATH}", {}, BODY)
        headers = signatures.sign(bare, self.key, signatures.Signer(self.id, self.sequence), datetime.now(UTC))
        return signatures.SignedRequest("POST", bare.url, headers, BODY)


@dataclass(frozen=True, slots=True)
class Reply:
    """Response of a server; header names are lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)

    def holds_a_token_for(self, request: signatures.SignedRequest, trusted: Mapping[str, Ed25519PublicKey]) -> bool:
        """Say whether it is a token; raises SignatureInvalid where a trusted server did not sign it for the request."""
        signatures.verify_answer(signatures.SignedAnswer(self.status, self.headers, self.body), request, trusted)
        return self.status == HTTPStatus.OK and bool(json.loads(self.body)["token"])

    @property
    def retry_after_s(self) -> int | None:
        """Wait that the server asks for."""
        text = self.headers.get("retry-after", "")
        return int(text) if text.isdigit() else None


def make_devices(count: int, name: str) -> list[Device]:
    """Return devices with new keys."""
    return [Device(f"{name}-{number}", Ed25519PrivateKey.generate()) for number in range(count)]


def enrol(database_url: str, devices: Sequence[Device]) -> None:
    """Write devices into the server's database, as if they had enrolled."""
    fixed = {"status": "active", "origin": "claim", "created_at": ENROLLED_AT, "last_sequence": 0, "conflicts": 0}
    rows = [{"id": device.id, **fixed} for device in devices]
    key_rows = [
        {
            "thumbprint": keys.thumbprint(device.key),
            "device_id": device.id,
            "public_key": keys.public_key_text(device.key),
            "status": "active",
            "created_at": ENROLLED_AT,
        }
        for device in devices
    ]

    def write(connection: Connection) -> None:
        connection.execute(insert(DEVICE), rows)
        connection.execute(insert(DEVICE_KEY), key_rows)

    store = DatabaseStore(open_engine(database_url))
    try:
        migrate.upgrade(store.engine)
        store.transact_here(write)
    finally:
        store.close()


def encoded(request: signatures.SignedRequest) -> bytes:
    """Return a request as it travels, with the headers that devices send."""
    parts = urlsplit(request.url)
    headers = {
        "host": parts.netloc,
        "accept": "application/json, application/problem+json",
        "accept-encoding": "gzip, deflate",
        "connection": "keep-alive",
        "user-agent": "voice-appliance/1.0",
        "content-type": JSON,
        **request.headers,
        "content-length": str(len(request.body)),
    }
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"POST {parts.path} HTTP/1.1\r\n{lines}\r\n".encode("ascii") + request.body


class Line:
    """One TLS connection to the server; an async context manager. Raises OSError or EOFError where it breaks."""

    def __init__(self, url: str, trust: ssl.SSLContext) -> None:
        parts = urlsplit(url)
        self._address = (parts.hostname or "", parts.port or 443)
        self._trust = trust

    async def __aenter__(self) -> Self:
        self._reader, self._writer = await asyncio.open_connection(*self._address, ssl=self._trust)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._writer.close()
        with suppress(OSError):
            await self._writer.wait_closed()

    async def ask(self, request: bytes) -> Reply:
        """Send a request and return its answer."""
        self._writer.write(request)
        head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:-2])}
        body = await self._reader.readexactly(int(headers.get("content-length", "0")))
        return Reply(int(head[0].split(" ")[1]), headers, body)


def trusting(ca_file: Path) -> ssl.SSLContext:
    """Return what devices trust."""
    return ssl.create_default_context(cafile=ca_file)
