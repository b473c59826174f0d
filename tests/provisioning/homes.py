"""A device's tokens against the real server, with a line between them that the test holds. On the virtual clock."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import httpx2

from appliance.config.schema import Prefetch, ProvisioningSettings
from appliance.core.state import Mode
from appliance.live.ports import LiveToken
from appliance.provisioning.common.protocol import Purpose
from appliance.provisioning.device.client import ProvisioningClient
from appliance.provisioning.device.token_manager import BOOT_SPREAD_S, TokenManager
from appliance.provisioning.server.schema import SESSION
from tests.support.live import FakeStore
from tests.support.provisioning import DEVICE, NOW, PEM, SERVER, SERVER_KEYS, World, answer, world

Problem = tuple[int, Mapping[str, object]]
"""Status and body."""
SETTINGS = ProvisioningSettings.model_validate(
    {"url": SERVER, "device_id": DEVICE, "device_key": PEM, "server_keys": SERVER_KEYS}
)
BOOTED_S = BOOT_SPREAD_S / 2 + 0.1
"""With the lot that a home draws, what is due at the start has been done by then."""
BEGIN = 1000.0
"""Time that the virtual clock shows at first."""


def now() -> float:
    """Return the seconds since the test began."""
    return asyncio.get_running_loop().time() - BEGIN


async def until(moment: float) -> None:
    """Wait until so many seconds have passed since the test began."""
    await asyncio.sleep(moment - now())


class Line(httpx2.AsyncBaseTransport):
    """Notes what is asked, by kind: "standing", "started", "ended", or what a token is for. The server's clock runs."""

    def __init__(self, here: World) -> None:
        self._here = here
        self.asked: list[tuple[float, str]] = []
        self.bodies: list[Any] = []
        self.hangs: set[str] = set()
        """Kinds that are never answered."""
        self.refuses: dict[str, Problem] = {}
        """Kinds that get this status and problem instead of what the server says."""
        self.breaks: dict[str, Exception] = {}
        self.takes_s = 0.0
        """Time that a request takes to reach the server."""
        self.mints_s = 0.0
        """Time that the service behind the server takes for a token."""

    def times(self, kind: str) -> list[float]:
        return [round(at, 3) for at, asked in self.asked if asked == kind]

    @property
    def kinds(self) -> list[str]:
        return [kind for _, kind in self.asked]

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        content = await request.aread()
        body = json.loads(content) if content else {}
        kind = str(body.get("purpose") or body.get("type") or "standing")
        self.asked.append((now(), kind))
        self.bodies.append(body)
        await asyncio.sleep(1e9 if kind in self.hangs else self.takes_s)
        if kind in self.breaks:
            raise self.breaks[kind]
        if kind in self.refuses:
            status, problem = self.refuses[kind]
            return answer(request, problem, status)
        self._here.now = NOW + timedelta(seconds=now())
        response = await self._here.transport.handle_async_request(request)
        await asyncio.sleep(self.mints_s if kind in set(Purpose) else 0.0)
        return response


@dataclass
class Home:
    """One device with its tokens."""

    here: World
    line: Line
    tokens: TokenManager
    client: ProvisioningClient
    store: FakeStore
    tools: list[frozenset[str] | None] = field(default_factory=list)
    """Tools that may be offered, as reported each time."""

    async def fetch(self, mode: Mode = Mode.HANDS_FREE, *, resume: bool = False) -> LiveToken:
        return await self.tokens.fetch(mode, resume=resume)

    async def talk(self, token: LiveToken, seconds: float = 20.0) -> None:
        """Hold a conversation over one link."""
        with self.tokens.track_link(token):
            await asyncio.sleep(seconds)

    def rows(self) -> dict[str, Any]:
        """Return the server's sessions by id."""
        found = self.here.work(lambda connection: connection.execute(SESSION.select()).all())
        return {row.id: row for row in found}

    def outcomes(self) -> list[tuple[str, str | None]]:
        """Return what each session was for and what became of it, oldest first."""
        return [(row.purpose, row.outcome) for row in sorted(self.rows().values(), key=lambda row: row.sequence)]


@asynccontextmanager
async def home(
    prefetch: Prefetch = Prefetch.AFTER_SESSION, lot: float = 0.5, here: World | None = None, **server: Any
) -> AsyncIterator[Home]:
    """Run a device of ``here``, or of a server with these settings."""
    here = here or world(**server)
    line = Line(here)
    client = ProvisioningClient(SETTINGS, None, line)
    store, tools = FakeStore(), list[frozenset[str] | None]()
    async with TokenManager(client, prefetch, store, tools.append, lambda: lot) as tokens:
        yield Home(here, line, tokens, client, store, tools)


DRAINING: Problem = (503, {"code": "draining", "retry_after": 40})
BROKEN: Problem = (500, {"code": "internal"})
