"""Limits the requests under way, and refuses those that have waited too long.

A device gives up after some seconds. With an endless queue every request under overload would be answered just too
late, and again at the next attempt. So old requests are refused, with a time at which to try again.
"""

import asyncio
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from appliance.provisioning.server.ports import MintSpec, Upstream

MAX_CONCURRENT: Final = 8
"""Requests under way. Those that wait for Google's service do not count."""
MAX_WAITING: Final = 128
"""Requests that wait; one more, and the oldest is refused."""
HANDSHAKES_UNTIL: Final = 24
"""While as many wait, no TLS handshake begins: it is most of the work of a request that would be refused."""
MAX_AGE_S: Final = 3.0
"""Greatest age at which work on a request begins: with the work itself, less than devices wait for an answer."""
RETRY_AFTER_S: Final = (5, 30)
"""Range of ``Retry-After``; a random value, so that devices do not retry in step."""


class RequestQueue:
    """Admits requests in order of arrival, for one event loop.

    Args:
        max_concurrent: Requests under way at the same time.
        random: Returns a random number in [0, 1).
    """

    def __init__(self, max_concurrent: int = MAX_CONCURRENT, random: Callable[[], float] = random.random) -> None:
        self._max_concurrent = max_concurrent
        self._random = random
        self._active = 0
        self._waiting: dict[asyncio.Future[bool], None] = {}
        """In order of arrival; at most `MAX_WAITING`."""

    @property
    def handshakes_allowed(self) -> int:
        """Number of further handshakes to begin; zero or less: none."""
        return HANDSHAKES_UNTIL - len(self._waiting)

    def retry_after(self) -> int:
        """Return the ``Retry-After`` of a refused request, in seconds."""
        first, last = RETRY_AFTER_S
        return first + int(self._random() * (last + 1 - first))

    async def enter(self, came_at: float) -> bool:
        """Wait for a place; call `leave` afterwards. False: the request is too old, do not serve it.

        Args:
            came_at: When the request arrived, by the loop's clock.
        """
        loop = asyncio.get_running_loop()
        if loop.time() - came_at >= MAX_AGE_S:
            return False
        if self._active < self._max_concurrent:
            self._active += 1
            return True
        if len(self._waiting) >= MAX_WAITING:
            self._end(next(iter(self._waiting)), admitted=False)
        place: asyncio.Future[bool] = loop.create_future()
        self._waiting[place] = None
        expiry = loop.call_at(came_at + MAX_AGE_S, lambda: self._end(place, admitted=False))
        try:
            return await place
        except asyncio.CancelledError:
            self._waiting.pop(place, None)
            if not place.cancelled() and place.result():
                self.leave()
            raise
        finally:
            expiry.cancel()

    def leave(self) -> None:
        """Give the place to the next request."""
        self._active -= 1
        while self._waiting and self._active < self._max_concurrent:
            following = next(iter(self._waiting))
            self._active += not following.done()
            self._end(following, admitted=True)

    @contextmanager
    def place_released(self) -> Iterator[None]:
        """Release this request's place while it waits for somebody else."""
        self.leave()
        try:
            yield
        finally:
            # It continues even above the limit: nearly finished requests come first.
            self._active += 1

    def _end(self, place: asyncio.Future[bool], *, admitted: bool) -> None:
        if place in self._waiting:
            del self._waiting[place]
            if not place.done():  # done if its request was cancelled a moment ago
                place.set_result(admitted)


class UnqueuedUpstream:
    """Wraps an upstream: requests that wait for it do not hold a place in the queue."""

    def __init__(self, upstream: Upstream, queue: RequestQueue) -> None:
        self._upstream = upstream
        self._queue = queue

    async def mint(self, spec: MintSpec) -> str:
        """Return a token; raises UpstreamError."""
        with self._queue.place_released():
            return await self._upstream.mint(spec)

    async def aclose(self) -> None:
        """Close the wrapped upstream."""
        await self._upstream.aclose()
