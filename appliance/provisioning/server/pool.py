"""Several API keys as one upstream: a device keeps to one of them, and each has a circuit breaker of its own.

Tokens of one device come from one project, as sessions can be resumed only there; so there is no other key to turn to
when its key fails.
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
"""Mints under way with one key; more wait in line, and while the line is longer than this, are refused."""
LINE_S: Final = 1.5
"""The longest wait in that line: with what the service may take (``upstream.timeout_s``) as long as devices wait."""
FAILURES: Final = 5
"""Failures in a row that open the circuit breaker."""
FIRST_PAUSE_S: Final = 2.0
LONGEST_PAUSE_S: Final = 60.0
_FAULTS: Final = frozenset({ProblemCode.UPSTREAM_UNAVAILABLE, ProblemCode.UPSTREAM_QUOTA})
"""What speaks of the service as a whole; a rejected request may be at fault itself."""


class CircuitBreaker:
    """Says whether the service may be called; times are seconds of one monotonic clock."""

    def __init__(self) -> None:
        self._failures = 0
        self._pause_s = FIRST_PAUSE_S
        self._closed_until = 0.0
        self._probing = False

    def wait_s(self, now: float) -> float:
        """Return how long not to call; 0: call now, and report what came of it.

        Once the pause is over, the first caller is let through, and the others wait for what becomes of it.
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
        """Take note that the service works."""
        self._failures = 0
        self._pause_s = FIRST_PAUSE_S
        self._probing = False

    def failed(self, now: float) -> None:
        """Take note that it does not."""
        self._failures += 1
        self._probing = False
        if self._failures >= FAILURES and now >= self._closed_until:
            self._closed_until = now + self._pause_s
            self._pause_s = min(LONGEST_PAUSE_S, self._pause_s * 2)

    def abandoned(self) -> None:
        """Take note that a call ended without telling anything about the service."""
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
        """Return a token from the holder's key; raises UpstreamError, at once while that key is known to fail."""
        member = self._members[_choice(spec.holder, len(self._members))]
        loop = asyncio.get_running_loop()
        if wait_s := member.breaker.wait_s(loop.time()):
            raise UpstreamError(member.last_fault, "waiting for the service to recover", ceil(wait_s))
        async with _turn(member):
            return await _mint(member, spec)

    async def aclose(self) -> None:
        """Close all."""
        for member in self._members:
            await member.upstream.aclose()


@asynccontextmanager
async def _turn(member: _Member) -> AsyncIterator[None]:
    """Have one of the slots while the block runs; raises UpstreamError where that takes too long."""
    is_late = member.waiting >= MAX_MINTS
    if not is_late:
        member.waiting += 1
        try:
            async with asyncio.timeout(LINE_S):
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


def _choice(holder: str, count: int) -> int:
    """Return which of ``count`` keys is the holder's: by highest random weight, so that a further key moves few."""
    weights = [hashlib.sha256(f"{holder}|{number}".encode()).digest() for number in range(count)]
    return weights.index(max(weights))
