"""The whole daemon, with built-in tools that act on it."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime

from appliance.adapters import Adapters
from appliance.config.schema import Settings
from appliance.daemon import Appliance
from appliance.observers import Observers
from appliance.tools.builtin import builtin
from appliance.tools.registry import Function


@asynccontextmanager
async def running_daemon(
    settings: Settings, choose: Callable[[Sequence[Function]], Adapters], observers: Observers
) -> AsyncIterator[Appliance]:
    """Run the daemon until the block ends; ``choose`` returns its adapters, given the built-in tools."""
    daemon: list[Appliance] = []
    own = builtin(
        lambda: datetime(2026, 11, 20, 12, tzinfo=UTC),
        lambda: daemon[0].end_conversation(),  # noqa: PLW0108  it is made below
        lambda gain: daemon[0].set_volume(gain),  # noqa: PLW0108
        lambda: daemon[0].forget(),  # noqa: PLW0108
    )
    daemon.append(Appliance(settings, choose(own), observers))
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(daemon[0].run())
        yield daemon[0]
        daemon[0].stop()
        await running
