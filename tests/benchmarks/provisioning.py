"""``scripts/bench provisioning``: the provisioning server as a program of its own, with devices that really sign.

The processor time that counts is the server's: the devices, the stand-in for Google's token service (which answers at
once) and PostgreSQL are other programs on the same cores.
"""

import asyncio
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from http import HTTPStatus
from itertools import chain
from pathlib import Path
from statistics import median
from typing import Final

import numpy as np
import uvloop

from appliance.provisioning.server.ports import MintSpec
from appliance.provisioning.server.upstream import GeminiUpstream
from tests.benchmarks.figures import Figure, compared
from tests.benchmarks.neighbours import busy_cores
from tests.benchmarks.overload import Served, overload
from tests.benchmarks.siege import besieged, served_s
from tests.benchmarks.storm import Storm, outage
from tests.support.databases import new_database, postgres, programs
from tests.support.fleet import BODY, Device, Line, encoded, enrol, make_devices, trusting
from tests.support.provisiond import Server, TokenService, running_service, serving
from tests.support.provisioning import API_KEY, server_settings

Say = Callable[[str], None]

LINES: Final = 20
"""Connections that are in use at once while processor time is measured."""
ROUNDS: Final = 5
ROUND: Final = 400
"""Devices in a round, each of which asks once: less often than its quota allows."""
JUNK: Final = 5_000
STARTS: Final = 3
HONEST: Final = 20
"""Devices that ask while strangers keep the server busy, all at once."""
SIEGES: Final = 9
"""Rounds in which they ask."""
MINT_CPU_TO_SDK: Final = {"sqlite": "<= 2.5", "postgres": "<= 3.5"}
"""Processor time of a token, as a multiple of what it takes with Google's SDK and nothing around it."""
FRESH: Final = 4_000
"""Devices for what comes with a new connection each time."""
FLEET: Final = 10_000
KILLS: Final = 1_000
_UNSIGNED: Final = (
    b"POST /v1/tokens HTTP/1.1\r\nhost: 127.0.0.1\r\nuser-agent: junk\r\ncontent-type: application/json\r\n"
    b"content-length: %d\r\n\r\n%b" % (len(BODY), BODY)
)


@dataclass(frozen=True, slots=True)
class _Measured:
    """Figures of the server with one database."""

    first_start_s: float
    start_s: float
    mint_cpu_ms: float
    sdk_cpu_ms: float
    """Google's SDK alone, measured before and after."""
    besieged_s: float
    """The middle of the longest waits for a token of each round, while strangers keep the server busy."""
    overload: Served
    mints_per_s: float
    junk_per_s: float
    rss_mb: float
    storm: Storm
    storm_rss_mb: float
    busy_storm: Storm
    """The same beside programs that take both cores."""
    lost_or_doubled: int


def measure(say: Say) -> list[Figure]:
    """Measure everything; takes about twenty minutes."""
    measured: dict[str, _Measured] = {}
    with tempfile.TemporaryDirectory() as folder, running_service(Path(folder)) as service:
        say(f"keys for {FLEET} devices")
        fleet = make_devices(FLEET, "device")
        for engine, new_database_url in _engines(Path(folder), say):
            for device in fleet:
                device.sequence = 0
            said = partial(_said, say, engine)
            measured[engine] = _engine(Path(folder) / engine, new_database_url, service, fleet, said)
    return _figures(measured)


def _said(say: Say, engine: str, line: str) -> None:
    say(f"{engine}: {line}")


def _engines(folder: Path, say: Say) -> Iterator[tuple[str, Callable[[], str]]]:
    """Yield each engine's name, and what makes a new database on it."""
    numbers = iter(range(1000))
    yield "sqlite", lambda: f"sqlite:///{folder / f'{next(numbers)}.sqlite'}"
    where = programs()
    if where is None:
        say("postgres: skipped, it is not installed (apt-get install postgresql)")
        return
    with postgres(where, fsync="on") as server:
        yield "postgres", partial(new_database, server)


def _engine(
    home: Path, new_database_url: Callable[[], str], service: TokenService, fleet: list[Device], say: Say
) -> _Measured:
    server = Server(home, new_database_url(), service)
    say("starts")
    first_start_s = _start_s(server)
    start_s = median(_start_s(server) for _ in range(STARTS))
    few, fresh = make_devices(ROUND, "few"), make_devices(FRESH, "fresh")
    # Other devices each time: a token counts as a conversation for some minutes, and one device may hold only a few.
    honest = [make_devices(HONEST, f"honest{number}") for number in range(SIEGES)]
    enrol(server.database_url, [*few, *fresh, *chain.from_iterable(honest), *fleet])
    with serving(server):
        say(f"tokens, {LINES} at once, and Google's SDK alone before and after")
        sdk_cpu_ms = uvloop.run(_sdk_cpu_ms(service))
        mint_cpu_ms, mints_per_s = uvloop.run(_mint(server, few))
        sdk_cpu_ms = (sdk_cpu_ms + uvloop.run(_sdk_cpu_ms(service))) / 2
        rss_mb = server.rss_mb
        say("twice as many devices as can be served")
        overloaded = uvloop.run(overload(server, fresh))
        say("strangers")
        with besieged(server):
            waits = [max(uvloop.run(served_s(server, devices))) for devices in honest]
        say("junk")
        junk_cpu_s, _ = uvloop.run(_load(server, [_UNSIGNED] * JUNK, HTTPStatus.UNAUTHORIZED))
    say(f"an outage: {FLEET} devices come back")
    storm = uvloop.run(outage(server, service, fleet))
    storm_rss_mb = server.rss_mb
    server.stop()
    say(f"served {storm.served}, attempts without a token: {dict(storm.errors)}")
    say("the same beside two busy cores")
    with busy_cores():
        busy_storm = uvloop.run(outage(server, service, fleet))
    server.stop()
    say(f"served {busy_storm.served}, attempts without a token: {dict(busy_storm.errors)}")
    say(f"{KILLS} times kill -9")
    return _Measured(
        first_start_s=first_start_s,
        start_s=start_s,
        mint_cpu_ms=mint_cpu_ms,
        sdk_cpu_ms=sdk_cpu_ms,
        besieged_s=median(waits),
        overload=overloaded,
        mints_per_s=mints_per_s,
        junk_per_s=JUNK / junk_cpu_s,
        rss_mb=rss_mb,
        storm=storm,
        storm_rss_mb=storm_rss_mb,
        busy_storm=busy_storm,
        lost_or_doubled=_lost_or_doubled(new_database_url()),
    )


def _figures(measured: dict[str, _Measured]) -> list[Figure]:
    every = list(measured.values())
    return [
        *(figure for name, one in measured.items() for figure in _mint_figures(name, one)),
        *(
            Figure(f"goodput_at_twice_the_capacity_{name}", one.overload.cpu_ratio, "x", ">= 0.8")
            for name, one in measured.items()
        ),
        Figure("besieged_token_s", max(one.besieged_s for one in every), "s", "<= 0.5"),
        Figure("junk_per_s_per_core", min(one.junk_per_s for one in every), "/s", ">= 5000"),
        Figure("rss_mb", max(one.rss_mb for one in every), "MB", "<= 140"),
        Figure("start_s", max(one.start_s for one in every), "s", "<= 2"),
        Figure("outage_recovery_failed", sum(one.storm.failed for one in every), "", "= 0"),
        Figure("outage_recovery_failed_beside_busy_cores", sum(one.busy_storm.failed for one in every), "", "= 0"),
        Figure("kill9_lost_or_doubled", sum(one.lost_or_doubled for one in every), "", "= 0"),
        *(figure for name, one in measured.items() for figure in _without_goals(name, one)),
    ]


def _mint_figures(engine: str, one: _Measured) -> list[Figure]:
    alone = ("the SDK alone", one.sdk_cpu_ms)
    ratio = one.mint_cpu_ms / one.sdk_cpu_ms
    return [
        compared(f"mint_cpu_ms_{engine}", one.mint_cpu_ms, "ms", None, alone),
        Figure(f"mint_cpu_to_sdk_alone_{engine}", ratio, "x", MINT_CPU_TO_SDK[engine]),
    ]


def _without_goals(engine: str, one: _Measured) -> list[Figure]:
    latencies = np.percentile(one.storm.latencies_ms, (50, 95, 99))
    return [
        Figure(f"mints_per_s_{engine}", one.mints_per_s, "/s"),
        Figure(f"first_start_s_{engine}", one.first_start_s, "s"),
        Figure(f"capacity_with_new_connections_per_s_{engine}", one.overload.capacity_per_s, "/s"),
        Figure(f"goodput_at_twice_the_capacity_per_s_{engine}", one.overload.goodput_per_s, "/s"),
        Figure(f"outage_answers_per_s_{engine}", len(one.storm.latencies_ms) / one.storm.taken_s, "/s"),
        Figure(f"outage_s_{engine}", one.storm.taken_s, "s"),
        *(
            Figure(f"outage_p{percent}_ms_{engine}", float(value), "ms")
            for percent, value in zip((50, 95, 99), latencies, strict=True)
        ),
        Figure(f"outage_errors_{engine}", one.storm.errors.total(), ""),
        Figure(f"outage_rss_mb_{engine}", one.storm_rss_mb, "MB"),
    ]


def _start_s(server: Server) -> float:
    taken_s = server.start()
    server.stop()
    return taken_s


async def _mint(server: Server, devices: list[Device]) -> tuple[float, float]:
    """Return processor time for each token in ms, of the middle round, and tokens in a second."""
    rounds: list[float] = []
    taken_s = 0.0
    for number in range(ROUNDS + 1):
        requests = [encoded(device.sign(server.url)) for device in devices]
        cpu_s, wall_s = await _load(server, requests, HTTPStatus.OK)
        if number:  # the first warms up
            rounds.append(cpu_s / len(requests) * 1000)
            taken_s += wall_s
    return median(rounds), ROUNDS * len(devices) / taken_s


async def _load(server: Server, requests: Iterable[bytes], expected: HTTPStatus) -> tuple[float, float]:
    """Send requests on several connections at once; return the server's processor time and the time taken, in s."""
    trust, left = trusting(server.ca_file), iter(requests)

    async def send(line: Line) -> None:
        for request in left:
            reply = await line.ask(request)
            if reply.status != expected:
                raise RuntimeError(f"the server answers {reply.status}: {reply.body!r}")

    async with AsyncExitStack() as stack:
        lines = [await stack.enter_async_context(Line(server.url, trust)) for _ in range(LINES)]
        cpu_s, begun = server.cpu_s, time.monotonic()
        async with asyncio.TaskGroup() as group:
            for line in lines:
                group.create_task(send(line))
        return server.cpu_s - cpu_s, time.monotonic() - begun


async def _sdk_cpu_ms(service: TokenService) -> float:
    """Return the processor time that a token costs with the SDK and nothing around it, in ms."""
    settings = server_settings(upstream={"base_url": service.url, "ca_file": service.ca_file})
    now = datetime.now(UTC)
    spec = MintSpec(settings.model, now + timedelta(minutes=1), now + timedelta(minutes=16))
    async with aclosing(GeminiUpstream(settings, API_KEY)) as upstream:

        async def mint(count: int) -> None:
            for _ in range(count):
                await upstream.mint(spec)

        rounds: list[float] = []
        for _ in range(ROUNDS + 1):
            begun = time.process_time()
            async with asyncio.TaskGroup() as group:
                for _ in range(LINES):
                    group.create_task(mint(ROUND // LINES))
            rounds.append((time.process_time() - begun) / ROUND * 1000)
    return median(rounds[1:])


def _lost_or_doubled(database_url: str) -> int:
    """Kill a server's store again and again while it writes; return how many sessions that has cost."""
    command = [sys.executable, "-m", "tests.provisioning.server.crash", database_url, str(KILLS)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if not done.stdout:
        raise RuntimeError(done.stderr)
    return int(done.stdout.split()[1])
