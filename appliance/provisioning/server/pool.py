"""Several API keys as one upstream. Each device always uses the same key, and each key has a circuit breaker.

Sessions can be resumed only within one project, so a device cannot switch to another key when its own fails.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from math import ceil
from typing import Final

from appliance.provisioning.common.protocol import ProblemCode
from appliance.provisioning.server.ports import MintSpec, Upstream, UpstreamError

MAX_MINTS: Final = 100
"""Mints under way with one key. As many more may wait; any further ones are refused."""
MAX_WAIT_S: Final = 1.5
"""Longest wait for a slot. Together with ``upstream.timeout_s`` it is as long as devices wait for an answer."""
FAILURES: Final = 5
"""Failures in a row that open the circuit breaker."""
FIRST_PAUSE_S: Final = 2.0
LONGEST_PAUSE_S: Final = 60.0
_FAULTS: Final = frozenset({ProblemCode.UPSTREAM_UNAVAILABLE, ProblemCode.UPSTREAM_QUOTA})
"""Failures of the service as a whole. A rejected request may itself be at fault."""


class CircuitBreaker:
    """Fails calls at once while the service is down, and lets one at a time try. Times: monotonic seconds."""

    def __init__(self) -> None:
        self._failures = 0
        self._pause_s = FIRST_PAUSE_S
        self._closed_until = 0.0
        self._probing = False

    def wait_s(self, now: float) -> float:
        """Return how long to wait before calling; 0: call now, and report the outcome.

        After the pause the first caller is let through as a probe. The others wait for its outcome.
        """
        if self._failures < FAILURES:
            return 0.0
        if now < self._closed_until:
            return self._closed_until - now
        if self._probing:
            return FIRST_PAUSE_S
        self._probing = True
        return 0.0

    def succeeded(self) -> None:
        """Record a success."""
        self._failures = 0
        self._pause_s = FIRST_PAUSE_S
        self._probing = False

    def failed(self, now: float) -> None:
        """Record a failure."""
        self._failures += 1
        self._probing = False
        if self._failures >= FAILURES and now >= self._closed_until:
            self._closed_until = now + self._pause_s
            self._pause_s = min(LONGEST_PAUSE_S, self._pause_s * 2)

    def abandoned(self) -> None:
        """Record a call that ended without showing whether the service works."""
        self._probing = False


class _Member:
    def __init__(self, upstream: Upstream) -> None:
        self.upstream = upstream
        self.breaker = CircuitBreaker()
        self.slots = asyncio.Semaphore(MAX_MINTS)
        self.waiting = 0
        self.last_fault = ProblemCode.UPSTREAM_UNAVAILABLE


class UpstreamPool:
    """Implements `ports.Upstream` with the upstreams of several API keys; at least one."""

    def __init__(self, upstreams: Sequence[Upstream]) -> None:
        self._members = [_Member(upstream) for upstream in upstreams]

    async def mint(self, spec: MintSpec) -> str:
        """Return a token from the holder's key; raises UpstreamError, at once while the circuit is open."""
        member = self._members[_key_index(spec.holder, len(self._members))]
        loop = asyncio.get_running_loop()
        if wait_s := member.breaker.wait_s(loop.time()):
            raise UpstreamError(member.last_fault, "waiting for the service to recover", ceil(wait_s))
        async with _slot(member):
            return await _mint(member, spec)

    async def aclose(self) -> None:
        """Close the upstreams of all keys."""
        for member in self._members:
            await member.upstream.aclose()


@asynccontextmanager
async def _slot(member: _Member) -> AsyncIterator[None]:
    """Hold a slot while the block runs; raises UpstreamError if none becomes free in time."""
    is_late = member.waiting >= MAX_MINTS
    if not is_late:
        member.waiting += 1
        try:
            async with asyncio.timeout(MAX_WAIT_S):
                await member.slots.acquire()
        except TimeoutError:
            is_late = True
        except BaseException:
            member.breaker.abandoned()
            raise
        finally:
            member.waiting -= 1
    if is_late:
        member.breaker.abandoned()
        raise UpstreamError(ProblemCode.UPSTREAM_UNAVAILABLE, "too many requests wait for the service")
    try:
        yield
    finally:
        member.slots.release()


async def _mint(member: _Member, spec: MintSpec) -> str:
    loop = asyncio.get_running_loop()
    try:
        token = await member.upstream.mint(spec)
    except UpstreamError as error:
        if error.code in _FAULTS:
            member.last_fault = error.code
            member.breaker.failed(loop.time())
        else:
            member.breaker.abandoned()
        raise
    except BaseException:
        member.breaker.abandoned()
        raise
    member.breaker.succeeded()
    return token


def _key_index(holder: str, count: int) -> int:
    """Return the index of the holder's key by rendezvous hashing: adding a key moves few holders."""
    weights = [hashlib.sha256(f"{holder}|{number}".encode()).digest() for number in range(count)]
    return weights.index(max(weights))
