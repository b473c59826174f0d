"""Name lookups that no program waits for at its end.

asyncio and uvloop look names up on worker threads and wait for all of them before the program ends, and a lookup takes
10 to 30 s where the name server does not answer.
"""

import asyncio
import socket
import threading
from concurrent.futures import Future
from typing import Any, Final

MAX_LOOKUPS: Final = 16
"""Lookups under way in the process, those included that nobody waits for any more; one more fails at once."""
_lookups: Final = threading.BoundedSemaphore(MAX_LOOKUPS)


class DetachedResolver:
    """Part of an event loop class, to be named before asyncio's or uvloop's."""

    async def getaddrinfo(self, host: Any, port: Any, **hints: Any) -> Any:  # noqa: ANN401  asyncio's own
        """Look a name up, as asyncio has it.

        Raises:
            socket.gaierror: There is no such name, or `MAX_LOOKUPS` lookups are under way.
        """
        if not _lookups.acquire(blocking=False):
            raise socket.gaierror(socket.EAI_AGAIN, "the name server does not answer")
        found: Future[Any] = Future()
        found.set_running_or_notify_cancel()
        threading.Thread(target=_look_up, args=(found, host, port, hints), name="lookup", daemon=True).start()
        return await asyncio.wrap_future(found)


def _look_up(found: Future[Any], host: Any, port: Any, hints: dict[str, int]) -> None:  # noqa: ANN401  as above
    try:
        addresses = socket.getaddrinfo(host, port, **hints)
    except (OSError, ValueError, TypeError) as error:
        _lookups.release()
        found.set_exception(error)
    else:
        _lookups.release()
        found.set_result(addresses)
