"""A control socket to ask, without the rest of the daemon."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from appliance.service.control_socket import SOCKET, ControlSocket
from appliance.service.status import DaemonStatus


def no_status() -> DaemonStatus:
    raise AssertionError("nobody asks for the status here")


@asynccontextmanager
async def serving(
    directory: Path, say: Callable[[str], str | None], status: Callable[[], DaemonStatus] = no_status
) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as group:
        task = group.create_task(ControlSocket(directory, say, status).run())
        while not (directory / SOCKET).exists():
            await asyncio.sleep(0.005)
        yield
        task.cancel()
