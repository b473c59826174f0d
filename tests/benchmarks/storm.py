"""A fleet after an outage: every device comes back by itself and goes on until it has its token.

Time is compressed where devices have a choice, and nowhere else: real ones spread their return over ten minutes, these
over two, so the server has the load of five times as many. Signatures, connections, the server's clock, the waits that
it asks for and the devices' own waits after a failure are as they are in the field.
"""

import asyncio
import random
import ssl
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final

from appliance.core.backoff import Backoff
from appliance.provisioning.common.signatures import SignatureInvalid
from tests.support.fleet import Device, Line, Reply, encoded, trusting
from tests.support.provisiond import Server, TokenService

SPREAD_S: Final = 120.0
"""Over how long devices come back: a fifth of what real ones take."""
SERVER_DOWN_S: Final = 5.0
"""Outage of the server, from the first device on."""
SERVICE_DOWN_S: Final = 15.0
"""Outage of Google's service."""
PATIENCE_S: Final = 10.0
"""The longest wait for one answer."""
BACKOFF: Final = Backoff(base_s=1.0, cap_s=300.0)
GIVEN_UP_S: Final = 2 * BACKOFF.cap_s
"""When a device without a token counts as failed: a single wait that was drawn long is no failure."""


@dataclass(slots=True)
class Storm:
    """Figures of a storm."""

    devices: int
    served: int = 0
    latencies_ms: list[float] = field(default_factory=list)
    """Latency of each answer, with the connection that was made for it."""
    errors: Counter[str] = field(default_factory=Counter)
    """Attempts without a token, by what came instead."""
    taken_s: float = 0.0

    @property
    def failed(self) -> int:
        """Devices that are without a token at the end."""
        return self.devices - self.served


async def outage(server: Server, service: TokenService, devices: Sequence[Device]) -> Storm:
    """Let devices come back while the server is down, and then the service; leaves the server running."""
    storm = Storm(len(devices))
    chance = random.Random(5)  # noqa: S311  no secret
    trust = trusting(server.ca_file)
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(_unless_given_up)
    begun = loop.time()
    service.answer(HTTPStatus.SERVICE_UNAVAILABLE)
    async with asyncio.TaskGroup() as group:
        for device in devices:
            comes_at = begun + chance.uniform(0, SPREAD_S)
            group.create_task(_come_back(device, server, trust, storm, comes_at, chance))
        await asyncio.sleep(SERVER_DOWN_S)
        await asyncio.to_thread(server.start)
        await asyncio.sleep(max(0.0, begun + SERVICE_DOWN_S - loop.time()))
        service.answer(HTTPStatus.OK)
    storm.taken_s = loop.time() - begun
    return storm


def _unless_given_up(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Report nothing of handshakes that a device has given up: uvloop goes on with them for a moment, and fails."""
    if not isinstance(context.get("exception"), OSError | RuntimeError):
        loop.default_exception_handler(context)


async def _come_back(
    device: Device, server: Server, trust: ssl.SSLContext, storm: Storm, comes_at: float, chance: random.Random
) -> None:
    loop = asyncio.get_running_loop()
    await asyncio.sleep(comes_at - loop.time())
    attempt = 0
    while loop.time() < comes_at + GIVEN_UP_S:
        reply = await _attempt(device, server, trust, storm)
        if reply is not None and reply.status == HTTPStatus.OK:
            storm.served += 1
            return
        own_s = BACKOFF.delay(attempt, chance.random())
        asked_s = reply.retry_after_s if reply else None
        await asyncio.sleep(own_s + (asked_s or 0))
        attempt += 1


async def _attempt(device: Device, server: Server, trust: ssl.SSLContext, storm: Storm) -> Reply | None:
    """Ask for a token on a new connection; None: no answer that can be believed."""
    loop = asyncio.get_running_loop()
    request = device.sign(server.url)
    begun = loop.time()
    try:
        async with asyncio.timeout(PATIENCE_S), Line(server.url, trust) as line:
            reply = await line.ask(encoded(request))
    except (OSError, EOFError) as error:
        storm.errors[type(error).__name__] += 1
        return None
    storm.latencies_ms.append((loop.time() - begun) * 1000)
    try:
        if not reply.holds_a_token_for(request, server.keys):
            storm.errors[str(reply.status)] += 1
    except SignatureInvalid:
        storm.errors[f"{reply.status} unsigned"] += 1
        return None
    return reply
