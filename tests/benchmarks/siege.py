"""Honest devices at a server that strangers keep busy (`strangers`)."""

import asyncio
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from urllib.parse import urlsplit

from tests.support.fleet import Device, Line, encoded, trusting
from tests.support.provisiond import Server

HALVES = 1_000
"""Half requests that are held."""
SILENT_PER_S = 400
"""Connections that say nothing, made each second."""


@contextmanager
def besieged(server: Server) -> Iterator[None]:
    """Have strangers at work while the block runs; it begins once they have done their worst."""
    parts = urlsplit(server.url)
    command = [sys.executable, "-m", "tests.benchmarks.strangers", str(parts.hostname), str(parts.port)]
    command += [str(HALVES), str(SILENT_PER_S)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as strangers:
        if strangers.stdin is None or strangers.stdout is None:
            raise AssertionError
        try:
            if not strangers.stdout.readline():
                raise RuntimeError("the strangers did not begin")
            yield
        finally:
            strangers.stdin.close()


async def served_s(server: Server, devices: Sequence[Device]) -> list[float]:
    """Have all ask at the same time, each with a new connection; return how long each took to have its token."""
    trust = trusting(server.ca_file)
    loop = asyncio.get_running_loop()

    async def ask(device: Device) -> float:
        request = device.sign(server.url)
        begun = loop.time()
        async with Line(server.url, trust) as line:
            reply = await line.ask(encoded(request))
        if not reply.holds_a_token_for(request, server.keys):
            raise RuntimeError(f"the server answers {reply.status}: {reply.body!r}")
        return loop.time() - begun

    return list(await asyncio.gather(*(ask(device) for device in devices)))
