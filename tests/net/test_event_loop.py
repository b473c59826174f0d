"""A first address that leads nowhere costs a quarter of a second."""

import asyncio
import socket
import time

import pytest

from appliance.net.event_loop import HAPPY_EYEBALLS_S, HappyEyeballsLoop

pytestmark = pytest.mark.realtime


class OneDeadAddress(HappyEyeballsLoop):
    """Every name has two addresses: the first never answers."""

    async def getaddrinfo(self, host, port, **kwargs):
        dead = ("192.0.2.1", port)  # RFC 5737: nobody is there
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", address) for address in (dead, ("127.0.0.1", port))]

    async def sock_connect(self, sock, address):
        if address[0] == "192.0.2.1":
            await asyncio.sleep(30)
        await super().sock_connect(sock, address)


def test_the_second_address_is_tried_soon():
    async def main() -> float:
        server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        began = time.monotonic()
        _, writer = await asyncio.open_connection("live.example", port)
        took = time.monotonic() - began
        writer.close()
        await writer.wait_closed()
        server.close()
        await server.wait_closed()
        return took

    with asyncio.Runner(loop_factory=OneDeadAddress) as runner:
        assert HAPPY_EYEBALLS_S <= runner.run(main()) < HAPPY_EYEBALLS_S + 0.5
