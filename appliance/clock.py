"""Loop time for durations, wall-clock time for people, and a time limit that also holds during clean-up."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime

from appliance.units import Seconds


def loop_time() -> Seconds:
    """Return the monotonic time of the running event loop."""
    return Seconds(asyncio.get_running_loop().time())


def local_now() -> datetime:
    """Return the wall-clock time in the device's time zone, for people and calendar days; never for durations.

    libc reads the zone once for `localtime_r`, which Python uses; `tzset` reads it again if it was changed since.
    """
    time.tzset()
    return datetime.now().astimezone()


@asynccontextmanager
async def timeout(seconds: float | None) -> AsyncIterator[asyncio.Timeout]:
    """Limit the body to ``seconds`` (None: no limit); raises TimeoutError after that, as ``asyncio.timeout`` does.

    Use it wherever the task may have been cancelled already: in a ``finally``, a ``close()`` or an ``__aexit__``.
    Python before 3.11.3 (Debian 12 has 3.11.2) raises CancelledError there instead (CPython gh-102780).
    """
    task = asyncio.current_task()
    if task is None:
        raise RuntimeError("a time limit needs a task")
    cancelling = task.cancelling()
    limit = asyncio.timeout(seconds)
    try:
        async with limit:
            yield limit
    except asyncio.CancelledError as error:
        if limit.expired() and task.cancelling() <= cancelling:
            raise TimeoutError from error
        raise
