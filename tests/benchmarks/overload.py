"""Twice as many devices as the server can serve, each with a new connection: how much it then still does.

Devices wait as long for their answer as real ones do, and do not come back here: what they do then is `storm`'s.
"""

import asyncio
import ssl
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from itertools import cycle
from typing import Final

from tests.support.fleet import Device, Line, encoded, trusting
from tests.support.provisiond import Server

CALLERS: Final = 24
"""Devices that ask one after the other, without end, while capacity is measured."""
MEASURED_S: Final = 5.0
PATIENCE_S: Final = 5.0
"""As the device's ``provisioning.timeout_s``."""
TIMES: Final = 2.0
"""Load offered, as a multiple of the capacity."""


@dataclass(slots=True)
class Served:
    """Figures of an overload."""

    capacity_per_s: float = 0.0
    """Tokens in a second while there are as many requests as can be served."""
    goodput_per_s: float = 0.0
    """Tokens in a second that came while their device still waited, with `TIMES` as many requests."""
    capacity_per_cpu_s: float = 0.0
    """Tokens for a second of the server's processor time, then."""
    goodput_per_cpu_s: float = 0.0
    others: Counter[str] = field(default_factory=Counter)
    """Other results, by kind."""

    @property
    def cpu_ratio(self) -> float:
        """Goodput as a part of the capacity, for the same processor time.

        The devices are on the same cores, and twice as many of them leave the server less of these.
        """
        return self.goodput_per_cpu_s / self.capacity_per_cpu_s


async def overload(server: Server, devices: Sequence[Device]) -> Served:
    """Measure the capacity, then what is left of it; each device asks a few times at most."""
    served, trust, turn = Served(), trusting(server.ca_file), cycle(devices)
    await _capacity(server, trust, turn, served, MEASURED_S / 2)  # warms up
    cpu_s = server.cpu_s
    tokens, taken_s = await _capacity(server, trust, turn, served, MEASURED_S)
    served.capacity_per_s, served.capacity_per_cpu_s = tokens / taken_s, tokens / (server.cpu_s - cpu_s)
    served.others.clear()
    cpu_s = server.cpu_s
    tokens, taken_s = await _goodput(server, trust, turn, served)
    served.goodput_per_s, served.goodput_per_cpu_s = tokens / taken_s, tokens / (server.cpu_s - cpu_s)
    return served


async def _capacity(
    server: Server, trust: ssl.SSLContext, turn: Iterator[Device], served: Served, seconds: float
) -> tuple[int, float]:
    loop = asyncio.get_running_loop()
    begun = loop.time()

    async def call() -> int:
        tokens = []
        while loop.time() < begun + seconds:
            tokens.append(await _has_token(server, trust, next(turn), served))
        return sum(tokens)

    async with asyncio.TaskGroup() as group:
        callers = [group.create_task(call()) for _ in range(CALLERS)]
    return sum(one.result() for one in callers), loop.time() - begun


async def _goodput(server: Server, trust: ssl.SSLContext, turn: Iterator[Device], served: Served) -> tuple[int, float]:
    loop = asyncio.get_running_loop()
    count = round(TIMES * served.capacity_per_s * MEASURED_S)
    begun = loop.time()
    async with asyncio.TaskGroup() as group:
        asked = []
        for number in range(count):
            await asyncio.sleep(begun + number * MEASURED_S / count - loop.time())
            asked.append(group.create_task(_has_token(server, trust, next(turn), served)))
    return sum(one.result() for one in asked), loop.time() - begun


async def _has_token(server: Server, trust: ssl.SSLContext, device: Device, served: Served) -> bool:
    request = device.sign(server.url)
    try:
        async with asyncio.timeout(PATIENCE_S), Line(server.url, trust) as line:
            reply = await line.ask(encoded(request))
            if reply.status == HTTPStatus.OK:
                return reply.holds_a_token_for(request, server.keys)
            served.others[str(reply.status)] += 1
    except (OSError, EOFError) as error:
        served.others[type(error).__name__] += 1
    return False
