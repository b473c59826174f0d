"""A name server that does not answer holds up neither the program's end nor, for ever, its lookups."""

import asyncio
import socket
import threading
import time
from collections.abc import Callable

import pytest

from appliance.net import event_loop
from appliance.net.event_loop import HappyEyeballsLoop
from appliance.provisioning.server.program import ServerLoop

pytestmark = pytest.mark.realtime

with asyncio.Runner(loop_factory=ServerLoop) as _first:
    _first.run(asyncio.sleep(0))  # uvloop opens a pipe for the whole process
LOOPS = pytest.mark.parametrize("new_loop", [HappyEyeballsLoop, ServerLoop])


@pytest.fixture
def dead_name_server(monkeypatch):
    """Every lookup waits for this to be set, and fails then."""
    gave_up = threading.Event()
    before = threading.active_count()

    def wait(*_args: object, **_hints: object) -> None:
        gave_up.wait(30)
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", wait)
    yield gave_up
    gave_up.set()
    while threading.active_count() > before:
        time.sleep(0.01)


@LOOPS
def test_a_program_ends_though_a_lookup_is_under_way(
    new_loop: Callable[[], asyncio.AbstractEventLoop], dead_name_server
):
    async def main() -> None:
        asking = asyncio.ensure_future(asyncio.get_running_loop().getaddrinfo("nas.example", 443))
        await asyncio.sleep(0.05)
        asking.cancel()

    began = time.monotonic()
    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(main())
    assert time.monotonic() - began < 2


@LOOPS
def test_lookups_without_an_answer_are_bounded(new_loop: Callable[[], asyncio.AbstractEventLoop], dead_name_server):
    async def main() -> None:
        loop = asyncio.get_running_loop()
        asking = [asyncio.ensure_future(loop.getaddrinfo("nas.example", 443)) for _ in range(event_loop.MAX_LOOKUPS)]
        await asyncio.sleep(0.05)
        with pytest.raises(socket.gaierror, match="name server"):
            await loop.getaddrinfo("nas.example", 443)
        dead_name_server.set()
        for one in asking:
            with pytest.raises(socket.gaierror, match="Temporary"):
                await one
        with pytest.raises(socket.gaierror, match="Temporary"):
            await loop.getaddrinfo("nas.example", 443)

    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(main())


@LOOPS
def test_an_address_is_found_or_refused(new_loop: Callable[[], asyncio.AbstractEventLoop]):
    async def main() -> None:
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo("127.0.0.1", 443, family=socket.AF_INET, type=socket.SOCK_STREAM)
        assert [address for *_, address in found] == [("127.0.0.1", 443)]
        with pytest.raises(UnicodeError):
            await loop.getaddrinfo("ä" * 70 + ".example", 443)

    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(main())
