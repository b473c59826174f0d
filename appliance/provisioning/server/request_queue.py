"""Lets in as many requests as the server can work on at once, and sends away those that have waited too long.

A device gives up after some seconds. Were there no end to the line, requests under overload would all be answered just
too late, and the work would be done again for the next attempt. So who has waited for long learns when to ask again.
"""

import asyncio
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from appliance.provisioning.server.ports import MintSpec, Upstream

MAX_CONCURRENT: Final = 8
"""Requests that are worked on; those that wait for Google's service do not count."""
MAX_WAITING: Final = 128
"""Requests that wait; when there are more, the oldest is sent away."""
HANDSHAKES_UNTIL: Final = 24
"""While as many wait, no connection has its handshake: most of the work for a request that is sent away."""
MAX_AGE_S: Final = 3.0
"""How old a request may be when work on it begins: less than devices wait for their answer, with what that takes."""
RETRY_AFTER_S: Final = (5, 30)
"""Within these, each is asked to come back at another moment."""


class RequestQueue:
    """For one event loop.

    Args:
        at_once: Requests that are worked on at the same time.
        random: Draws a number in [0, 1).
    """

    def __init__(self, at_once: int = MAX_CONCURRENT, random: Callable[[], float] = random.random) -> None:
        self._at_once = at_once
        self._random = random
        self._inside = 0
        self._waiting: dict[asyncio.Future[bool], None] = {}
        """In the order of their coming; at most `MAX_WAITING`."""

    @property
    def room(self) -> int:
        """How many more are to have their handshakes; none where it is less than one."""
        return HANDSHAKES_UNTIL - len(self._waiting)

    def retry_after(self) -> int:
        """Return when somebody who was sent away is to come back, in seconds."""
        first, last = RETRY_AFTER_S
        return first + int(self._random() * (last + 1 - first))

    async def enter(self, came_at: float) -> bool:
        """Wait until there is room, and `leave` after; False: do not, it has taken too long.

        Args:
            came_at: When the request came, by the loop's clock.
        """
        loop = asyncio.get_running_loop()
        if loop.time() - came_at >= MAX_AGE_S:
            return False
        if self._inside < self._at_once:
            self._inside += 1
            return True
        if len(self._waiting) >= MAX_WAITING:
            self._end(next(iter(self._waiting)), comes_in=False)
        mine: asyncio.Future[bool] = loop.create_future()
        self._waiting[mine] = None
        too_late = loop.call_at(came_at + MAX_AGE_S, lambda: self._end(mine, comes_in=False))
        try:
            return await mine
        except asyncio.CancelledError:
            self._waiting.pop(mine, None)
            if not mine.cancelled() and mine.result():
                self.leave()
            raise
        finally:
            too_late.cancel()

    def leave(self) -> None:
        """Make room for the next."""
        self._inside -= 1
        while self._waiting and self._inside < self._at_once:
            following = next(iter(self._waiting))
            self._inside += not following.done()
            self._end(following, comes_in=True)

    @contextmanager
    def elsewhere(self) -> Iterator[None]:
        """Make room for another while somebody else works on this request."""
        self.leave()
        try:
            yield
        finally:
            # It goes on whatever the number: what is nearly done comes first.
            self._inside += 1

    def _end(self, one: asyncio.Future[bool], *, comes_in: bool) -> None:
        if one in self._waiting:
            del self._waiting[one]
            if not one.done():  # it is, where its request was cancelled a moment ago
                one.set_result(comes_in)


class UnqueuedUpstream:
    """Implements `ports.Upstream` with another: who waits for that one is not in the way of others."""

    def __init__(self, upstream: Upstream, line: RequestQueue) -> None:
        self._upstream = upstream
        self._line = line

    async def mint(self, spec: MintSpec) -> str:
        """Return a token; raises UpstreamError."""
        with self._line.elsewhere():
            return await self._upstream.mint(spec)

    async def aclose(self) -> None:
        """Close the other."""
        await self._upstream.aclose()
