"""Strangers who open connections and do nothing useful with them, as a program of their own.

``python -m tests.benchmarks.strangers HOST PORT HALVES SILENT_PER_S`` holds HALVES TLS connections with half a request
each, and makes SILENT_PER_S connections a second that say nothing, until its standard input ends. A half request whose
connection the server closes is made again. It prints a line once each of them has been sent.
"""

import asyncio
import resource
import socket
import ssl
import sys
from collections import deque
from contextlib import suppress
from typing import Final

HALF: Final = b"POST /v1/tokens HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
SILENT: Final = 4_000
"""Silent connections that are held at most; the oldest is closed for another."""
AT_ONCE: Final = 20
TICK_S: Final = 0.02


async def hold(address: tuple[str, int], trust: ssl.SSLContext, turn: asyncio.Semaphore, sent: asyncio.Event) -> None:
    """Hold a connection with half a request, again and again."""
    while True:
        writer = None
        with suppress(OSError):
            async with turn:
                reader, writer = await asyncio.open_connection(*address, ssl=trust, ssl_handshake_timeout=60)
                writer.write(HALF)
            sent.set()
            await reader.read()
        if writer is not None:
            writer.close()
        await asyncio.sleep(0.1)


async def flood(address: tuple[str, int], per_s: int) -> None:
    """Make connections that say nothing."""
    loop = asyncio.get_running_loop()
    held: deque[socket.socket] = deque()
    due = loop.time()
    while per_s:
        await asyncio.sleep(TICK_S)
        while due < loop.time():
            due += 1 / per_s
            one = socket.socket()
            one.setblocking(False)
            one.connect_ex(address)
            held.append(one)
            if len(held) > SILENT:
                held.popleft().close()


async def main(host: str, port: int, halves: int, silent_per_s: int) -> None:
    """Go on until standard input ends."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    trust = ssl.create_default_context()
    trust.check_hostname, trust.verify_mode = False, ssl.CERT_NONE
    turn, sent = asyncio.Semaphore(AT_ONCE), [asyncio.Event() for _ in range(halves)]
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(hold((host, port), trust, turn, one)) for one in sent]
        tasks.append(group.create_task(flood((host, port), silent_per_s)))
        for one in sent:
            await one.wait()
        sys.stdout.write("all sent\n")
        sys.stdout.flush()
        await asyncio.to_thread(sys.stdin.read)
        for task in tasks:
            task.cancel()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], *map(int, sys.argv[2:])))
