"""Setting for the tests of both halves: one device, one server, and a service that mints tokens as scripted."""

import json
import socket
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import httpx2
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import Connection, select

from appliance.provisioning.common import join, keys, signatures
from appliance.provisioning.common.protocol import (
    ENROL_PATH,
    JSON,
    PROBLEM_JSON,
    STATUS,
    TOKENS_PATH,
    Problem,
    ProblemCode,
)
from appliance.provisioning.common.signatures import AnswerSigner
from appliance.provisioning.server import claims, devices, migrate
from appliance.provisioning.server.app import ServerParts, create_app
from appliance.provisioning.server.certificate import Certificate
from appliance.provisioning.server.ports import MintSpec, UpstreamError
from appliance.provisioning.server.schema import SESSION, USAGE
from appliance.provisioning.server.settings import DATABASE_FILE, ServerSettings
from appliance.provisioning.server.store import MEMORY, DatabaseStore, open_engine
from appliance.provisioning.server.timestamps import milliseconds

API_KEY = "AIza-the-key-that-nobody-may-see"
TOKEN = "auth_tokens/the-token-that-no-log-may-hold"
DEVICE = "kitchen"
SERVER = "https://provisioning.test"
NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
SERVER_KEY = keys.private_key(keys.new_private_key())
PEM = keys.new_private_key()
KEY = keys.private_key(PEM)
SERVER_KEYS = (keys.public_key_text(SERVER_KEY),)
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


def server_settings(**changed: Any) -> ServerSettings:
    values = {"api_key": API_KEY, "devices": {DEVICE: keys.public_key_text(KEY)}}
    return ServerSettings(**{**values, **changed})


class InThisThread(Executor):
    """Runs work at once: the virtual loop waits for no thread."""

    def submit(self, fn, /, *args, **kwargs):
        done: Future[Any] = Future()
        try:
            done.set_result(fn(*args, **kwargs))
        except Exception as error:  # noqa: BLE001  the future's
            done.set_exception(error)
        return done


@cache
def empty_database() -> bytes:
    """Return a SQLite database with all tables and nothing in them."""
    engine = open_engine(MEMORY)
    migrate.upgrade(engine)
    with engine.connect() as connection:
        driver = connection.connection.driver_connection
        assert isinstance(driver, sqlite3.Connection)
        driver.rollback()
        content = driver.serialize()
    engine.dispose()
    return content


def put_empty_database(directory: Path) -> None:
    """Put such a database where a server with this state directory looks for its own: to make one takes 30 ms."""
    file = directory / DATABASE_FILE
    file.touch(0o600)
    file.write_bytes(empty_database())


OPEN: list[DatabaseStore] = []
"""Stores that a test has opened; closed after it (conftest.py)."""


def memory_store() -> DatabaseStore:
    """Return a store of its own, in memory and in this thread."""
    content = empty_database()
    engine = open_engine(MEMORY)
    connection = engine.raw_connection()
    assert isinstance(connection.driver_connection, sqlite3.Connection)
    connection.driver_connection.deserialize(content)
    connection.close()
    OPEN.append(DatabaseStore(engine, InThisThread()))
    return OPEN[-1]


@dataclass
class World:
    """One server with its surroundings. Changing ``now`` moves its clock."""

    settings: ServerSettings
    store: DatabaseStore
    upstream: FakeUpstream
    now: datetime = NOW
    sequence: int = 0
    key: Ed25519PrivateKey = SERVER_KEY
    next_key: Ed25519PrivateKey | None = None
    previous_key: Ed25519PrivateKey | None = None
    certificate: Certificate | None = None

    def __post_init__(self) -> None:
        self.parts = ServerParts(
            self.settings,
            self.upstream,
            self.store,
            self.key,
            lambda: self.now,
            next_key=self.next_key,
            previous_key=self.previous_key,
            certificate=self.certificate,
        )
        self.app = create_app(self.parts)
        self.transport = httpx2.ASGITransport(self.app, raise_app_exceptions=False)

    def work(self, work: Callable[[Connection], Any]) -> Any:
        return self.store.transact_here(work)

    def later(self, **duration: float) -> None:
        self.now += timedelta(**duration)

    @property
    def ms(self) -> int:
        return milliseconds(self.now)

    def claim(self, **terms: Any) -> str:
        """Make a claim and return its text."""
        made: join.Claim = self.work(lambda c: claims.create(c, claims.ClaimTerms(**terms), self.ms, "admin"))
        return made.text()

    async def ask(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        device: str = DEVICE,
        key: keys.PrivateKey = KEY,
        sequence: int | None = None,
        headers: Mapping[str, str | bytes] = {},
    ) -> httpx2.Response:
        """Send a signed request, with the next sequence number."""
        self.sequence = self.sequence + 1 if sequence is None else sequence
        content = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        request = signatures.SignedRequest(method, f"{SERVER}{path}", {}, content)
        signed = signatures.sign(request, key, signatures.Signer(device, self.sequence), self.now)
        kind: dict[str, str | bytes] = {} if body is None else {"content-type": JSON}
        encoded = [
            (n.encode(), v if isinstance(v, bytes) else v.encode()) for n, v in {**signed, **kind, **headers}.items()
        ]
        async with httpx2.AsyncClient(transport=self.transport) as http:
            return await http.request(method, request.url, content=content, headers=encoded)

    async def token(self, **changed: Any) -> httpx2.Response:
        purpose = changed.pop("purpose", "new")
        return await self.ask("POST", TOKENS_PATH, {"mode": "wake", "purpose": purpose}, **changed)

    async def enrol(self, claim: str, brought: keys.PrivateKey, **changed: Any) -> httpx2.Response:
        public = keys.jwk(brought).model_dump(exclude_none=True)
        body = {"claim": claim, "public_key": public, **changed.pop("more", {})}
        signed = {"device": keys.thumbprint(brought), "key": brought, **changed}
        return await self.ask("POST", ENROL_PATH, body, **signed)


def world(upstream: FakeUpstream | None = None, store: DatabaseStore | None = None, **changed: Any) -> World:
    """Return a server with ``server_settings(**changed)``, in this process, without a socket."""
    own = {name: changed.pop(name) for name in ("next_key", "previous_key") if name in changed}
    settings = server_settings(**changed)
    made = World(settings, store or memory_store(), upstream or FakeUpstream(), **own)
    made.work(lambda c: devices.apply_settings(c, settings.devices, made.ms))
    return made


def transport(upstream: FakeUpstream | None = None, **changed: Any) -> httpx2.ASGITransport:
    """Return the server of ``world(upstream, **changed)`` alone."""
    return world(upstream, **changed).transport


def refused(response: httpx2.Response, code: ProblemCode) -> Problem:
    """Check that ``response`` is this problem, told as all are."""
    problem = Problem.model_validate_json(response.content)
    assert problem.code == code, (response.status_code, response.text)
    assert response.status_code == problem.status == STATUS[code]
    assert response.headers["content-type"] == "application/problem+json"
    assert response.headers["cache-control"] == "no-store"
    assert response.headers.get("retry-after") == (None if problem.retry_after is None else str(problem.retry_after))
    return problem


def answer(
    request: httpx2.Request, body: object, status: int = 200, key: Ed25519PrivateKey = SERVER_KEY, at: datetime = NOW
) -> httpx2.Response:
    """Return the answer to ``request`` that the server would have signed with ``key``."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    signature = request.headers["signature"]
    path = request.url.raw_path.decode()
    headers = AnswerSigner(key).headers(status, content, path, signature, int(at.timestamp()))
    kind = {"content-type": JSON if status < 400 else PROBLEM_JSON}
    return plain(content, status, {**kind, **headers})


def plain(content: bytes, status: int = 200, headers: Mapping[str, str] = {}) -> httpx2.Response:
    """Return an answer that nobody has signed, as it comes from a socket."""
    return httpx2.Response(status, headers=dict(headers), stream=httpx2.ByteStream(content))


def signed_headers(
    sequence: int = 1, body: bytes = ASKED, device: str = DEVICE, key: keys.PrivateKey = KEY, at: datetime = NOW
) -> dict[str, str]:
    request = signatures.SignedRequest("POST", f"{SERVER}{TOKENS_PATH}", {}, body)
    return {"content-type": JSON, **signatures.sign(request, key, signatures.Signer(device, sequence), at)}


async def post(
    carrier: httpx2.AsyncBaseTransport, headers: Mapping[str, str], body: bytes = ASKED, path: str = TOKENS_PATH
) -> httpx2.Response:
    async with httpx2.AsyncClient(transport=carrier) as http:
        return await http.post(f"{SERVER}{path}", content=body, headers=dict(headers))


FREE = {"sessions_day": 0, "minutes_month": 0, "burst": 0, "concurrent": 0}
COUNTING = ("reserved", "minted")


def usage(here: World) -> list[tuple[int, int, int]]:
    """Return day, sessions and reserved seconds, after checking them against the sessions themselves."""
    counted = here.work(lambda c: c.execute(select(USAGE.c.day, USAGE.c.sessions, USAGE.c.reserved_s)).all())
    good = here.work(
        lambda c: c.execute(select(SESSION.c.reserved_s).where(SESSION.c.state.in_(COUNTING))).scalars().all()
    )
    assert (sum(row.sessions for row in counted), sum(row.reserved_s for row in counted)) == (len(good), sum(good))
    return [tuple(row) for row in counted]
