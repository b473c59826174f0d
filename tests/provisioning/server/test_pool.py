import asyncio

import pytest

from appliance.provisioning.common.protocol import ProblemCode
from appliance.provisioning.server.pool import (
    FAILURES,
    FIRST_PAUSE_S,
    LONGEST_PAUSE_S,
    MAX_MINTS,
    MAX_WAIT_S,
    CircuitBreaker,
    UpstreamPool,
)
from appliance.provisioning.server.ports import MintSpec, Upstream, UpstreamError
from appliance.provisioning.server.rate_limiter import ALLOWED, REMEMBERED, WINDOW_S, RateLimiter
from tests.support.provisioning import NOW, FakeUpstream

DOWN = UpstreamError(ProblemCode.UPSTREAM_UNAVAILABLE, "down")


def spec(holder: str) -> MintSpec:
    return MintSpec("model", NOW, NOW, holder=holder)


async def code_of(upstream: Upstream, holder: str = "kitchen") -> tuple[ProblemCode | None, int | None]:
    try:
        await upstream.mint(spec(holder))
    except UpstreamError as error:
        return error.code, error.retry_after
    return None, None


async def test_a_device_keeps_to_one_key_and_the_devices_are_spread():
    members = [FakeUpstream() for _ in range(3)]
    pool = UpstreamPool(members)
    for number in range(300):
        for _ in range(2):
            await pool.mint(spec(f"device{number}"))
    held = [{one.holder for one in member.specs} for member in members]
    assert sum(map(len, held)) == 300
    assert all(60 < len(holders) < 140 for holders in held)
    await pool.aclose()
    assert all(member.closed for member in members)


async def test_a_further_key_moves_only_those_that_move_to_it():
    two, three = [FakeUpstream(), FakeUpstream()], [FakeUpstream(), FakeUpstream(), FakeUpstream()]
    for number in range(100):
        await UpstreamPool(two).mint(spec(f"device{number}"))
        await UpstreamPool(three).mint(spec(f"device{number}"))
    for before, after in zip(two, three, strict=False):
        assert {one.holder for one in after.specs} <= {one.holder for one in before.specs}


async def test_while_a_service_fails_it_is_asked_once_in_a_while_and_devices_are_told_when_to_come_again():
    member = FakeUpstream(DOWN)
    pool = UpstreamPool([member])
    for _ in range(FAILURES):
        assert (await code_of(pool))[0] is ProblemCode.UPSTREAM_UNAVAILABLE
    assert [await code_of(pool) for _ in range(50)] == [(ProblemCode.UPSTREAM_UNAVAILABLE, 2)] * 50
    assert len(member.specs) == FAILURES
    await asyncio.sleep(FIRST_PAUSE_S)
    await code_of(pool)
    assert len(member.specs) == FAILURES + 1
    assert await code_of(pool) == (ProblemCode.UPSTREAM_UNAVAILABLE, 4)
    member.failure = None
    await asyncio.sleep(2 * FIRST_PAUSE_S)
    assert await code_of(pool) == (None, None)
    assert [await code_of(pool) for _ in range(3)] == [(None, None)] * 3


async def test_a_request_that_is_rejected_says_nothing_about_the_service():
    member = FakeUpstream(UpstreamError(ProblemCode.UPSTREAM_REJECTED, "no such model"))
    pool = UpstreamPool([member])
    for _ in range(3 * FAILURES):
        await code_of(pool)
    assert len(member.specs) == 3 * FAILURES


async def test_one_key_that_fails_does_not_stop_the_others():
    bad, good = FakeUpstream(DOWN), FakeUpstream()
    pool = UpstreamPool([bad, good])
    codes = [(await code_of(pool, f"device{number}"))[0] for number in range(60)]
    assert codes.count(None) == len(good.specs) > 15
    assert len(bad.specs) == FAILURES


async def test_no_more_wait_than_the_line_is_long():
    class Slow(FakeUpstream):
        async def mint(self, spec: MintSpec) -> str:
            await asyncio.sleep(1.0)
            return await super().mint(spec)

    pool = UpstreamPool([Slow()])
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(code_of(pool)) for _ in range(2 * MAX_MINTS + 7)]
    codes = [task.result()[0] for task in tasks]
    assert codes.count(None) == 2 * MAX_MINTS
    assert codes.count(ProblemCode.UPSTREAM_UNAVAILABLE) == 7


async def test_whoever_waits_too_long_in_line_is_sent_away_and_speaks_of_no_fault():
    class Slow(FakeUpstream):
        async def mint(self, spec: MintSpec) -> str:
            await asyncio.sleep(3.0)
            return await super().mint(spec)

    pool, loop = UpstreamPool([Slow()]), asyncio.get_running_loop()
    begun = loop.time()
    async with asyncio.TaskGroup() as group:
        first = [group.create_task(code_of(pool)) for _ in range(MAX_MINTS)]
        await asyncio.sleep(0)
        for _ in range(2 * FAILURES):
            group.create_task(code_of(pool))
        assert (await code_of(pool))[0] is ProblemCode.UPSTREAM_UNAVAILABLE
        assert loop.time() - begun == pytest.approx(MAX_WAIT_S)
    assert {task.result()[0] for task in first} == {None}
    assert (await code_of(pool))[0] is None


def test_the_one_who_tries_is_replaced_when_he_gives_up():
    breaker = CircuitBreaker()
    for _ in range(FAILURES):
        breaker.failed(0.0)
    assert breaker.wait_s(FIRST_PAUSE_S) == 0.0
    assert breaker.wait_s(FIRST_PAUSE_S) > 0.0
    breaker.abandoned()
    assert breaker.wait_s(FIRST_PAUSE_S) == 0.0


def test_pauses_grow_to_a_longest():
    breaker, now = CircuitBreaker(), 0.0
    for _ in range(FAILURES + 12):
        breaker.failed(now)
        now += LONGEST_PAUSE_S
    assert breaker.wait_s(now - LONGEST_PAUSE_S) == pytest.approx(LONGEST_PAUSE_S)


def test_failures_are_forgotten_after_a_while_and_when_there_are_too_many():
    failures = RateLimiter()
    for number in range(ALLOWED):
        assert failures.wait_s("a", float(number)) == 0
        failures.add("a", float(number))
    assert failures.wait_s("a", 5.0) == 55
    assert failures.wait_s("b", 5.0) == 0
    assert failures.wait_s("a", WINDOW_S) == 0
    for number in range(REMEMBERED + 1):
        failures.add(str(number), 6.0)
    assert failures.wait_s("a", 7.0) == 0
