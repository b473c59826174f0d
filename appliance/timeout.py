"""A time limit that also holds while a cancelled task cleans up.

Python before 3.11.3 (Debian 12 has 3.11.2) raises CancelledError instead of TimeoutError there (CPython gh-102780), and
the handler for the time limit never runs.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


@asynccontextmanager
async def timeout(seconds: float | None) -> AsyncIterator[asyncio.Timeout]:
    """Limit the body to ``seconds`` (None: no limit); raises TimeoutError after that, as ``asyncio.timeout`` does.

    Use it wherever the task may have been cancelled already: in a ``finally``, a ``close()`` or an ``__aexit__``.
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
