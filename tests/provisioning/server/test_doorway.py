"""A server is not given more than it can do at once, and nobody is sent away for it."""

import asyncio
import socket
import ssl
from pathlib import Path

import pytest
import trustme
import uvicorn

from appliance.provisioning.server.doorway import PacedServer
from tests.bench.fleet import Line
from tests.clock import run_real

pytestmark = pytest.mark.realtime
MAX_BUSY = 4
ASKERS = 40
REQUEST = b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"


class Slow:
    """An application that takes its time, and remembers how many it had to do with at once."""

    def __init__(self) -> None:
        self.now = 0
        self.most = 0

    async def __call__(self, scope, receive, send) -> None:
        self.now += 1
        self.most = max(self.most, self.now)
        await asyncio.sleep(0.02)
        self.now -= 1
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})


async def ask(url: str, trust: ssl.SSLContext) -> int:
    async with Line(url, trust) as line:
        return (await line.ask(REQUEST)).status


def test_those_that_are_too_many_wait_their_turn_and_are_served(tmp_path: Path):
    authority = trustme.CA()
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "tls.pem"))
    trust = ssl.create_default_context(cadata=authority.cert_pem.bytes().decode())
    slow = Slow()

    async def main() -> list[int]:
        config = uvicorn.Config(slow, ssl_certfile=tmp_path / "tls.pem", lifespan="off", log_config=None)
        with socket.create_server(("127.0.0.1", 0), backlog=ASKERS) as listener:
            url = f"https://127.0.0.1:{listener.getsockname()[1]}"
            server = PacedServer(config, listener, MAX_BUSY)
            async with asyncio.TaskGroup() as group:
                group.create_task(server.serve(sockets=[]))
                asked = await asyncio.gather(*(ask(url, trust) for _ in range(ASKERS)))
                # One that never says anything keeps nobody from leaving.
                silent, held = await asyncio.open_connection("127.0.0.1", listener.getsockname()[1])
                server.should_exit = True
                await silent.read()
                held.close()
        return asked

    assert run_real(main) == [200] * ASKERS
    assert 1 < slow.most <= 2 * MAX_BUSY
