"""Event loops that try a name's next address soon, and do not wait for name lookups at the program's end.

asyncio and uvloop look names up on worker threads and join all of them before the program ends; a lookup takes 10 to
30 s where the name server does not answer. And a home whose IPv6 does not work would cost ten seconds for each
connection: neither google-genai nor websockets tries the other address meanwhile, and neither has a parameter for it.
"""

import asyncio
import socket
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from typing import Any, Final, TypeVar

HAPPY_EYEBALLS_S: Final = 0.25
"""Connection attempt delay (RFC 8305, 5)."""
MAX_LOOKUPS: Final = 16
"""Lookups under way in the process, those included that nobody waits for any more; one more fails at once."""
_lookups: Final = threading.BoundedSemaphore(MAX_LOOKUPS)

T = TypeVar("T")


class DetachedResolver:
    """Mix-in for an event loop class, before asyncio's or uvloop's: looks names up on daemon threads."""

    async def getaddrinfo(self, host: Any, port: Any, **hints: Any) -> Any:  # noqa: ANN401  asyncio's own
        """Look a name up.

        Raises:
            socket.gaierror: There is no such name, or `MAX_LOOKUPS` lookups are under way.
        """
        if not _lookups.acquire(blocking=False):
            raise socket.gaierror(socket.EAI_AGAIN, "the name server does not answer")
        found: Future[Any] = Future()
        found.set_running_or_notify_cancel()
        threading.Thread(target=_look_up, args=(found, host, port, hints), name="lookup", daemon=True).start()
        return await asyncio.wrap_future(found)


class HappyEyeballsLoop(DetachedResolver, asyncio.SelectorEventLoop):
    """Tries the next address of a name when one has not answered for `HAPPY_EYEBALLS_S`."""

    async def create_connection(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401  asyncio's own
        """Connect, with that delay where a name is to be looked up."""
        if kwargs.get("sock") is None:
            kwargs.setdefault("happy_eyeballs_delay", HAPPY_EYEBALLS_S)
        return await super().create_connection(*args, **kwargs)


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run a program to its end, as `asyncio.run` does, on a `HappyEyeballsLoop`."""
    with asyncio.Runner(loop_factory=HappyEyeballsLoop) as runner:
        return runner.run(main)


def _look_up(found: Future[Any], host: Any, port: Any, hints: dict[str, int]) -> None:  # noqa: ANN401  as above
    try:
        addresses = socket.getaddrinfo(host, port, **hints)
    except (OSError, ValueError, TypeError) as error:
        _lookups.release()
        found.set_exception(error)
    else:
        _lookups.release()
        found.set_result(addresses)
