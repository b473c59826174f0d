"""Under overload those who are served are served in time, and the others learn when to come back."""

import asyncio
from contextlib import suppress

import httpx2
import pytest
from sqlalchemy import select

from appliance.provisioning.common import keys
from appliance.provisioning.common.protocol import ProblemCode
from appliance.provisioning.server.connection_limits import ARRIVAL
from appliance.provisioning.server.ports import MintSpec
from appliance.provisioning.server.request_queue import MAX_AGE_S, MAX_WAITING, RETRY_AFTER_S, RequestQueue
from appliance.provisioning.server.schema import SESSION, USAGE
from tests.support.provisioning import ASKED, DEVICE, KEY, FakeUpstream, post, refused, signed_headers, world


def now() -> float:
    return asyncio.get_running_loop().time()


@pytest.mark.parametrize(("each_s", "expected"), [(0.1, [0, 1, 2, 3, 4]), (1.2, [0, 1, 2])])
async def test_they_are_served_in_the_order_of_their_coming_and_none_that_is_too_old(
    each_s: float, expected: list[int]
):
    queue, order = RequestQueue(max_concurrent=1), []

    async def work(number: int) -> None:
        if await queue.enter(now()):
            order.append(number)
            await asyncio.sleep(each_s)
            queue.leave()

    async with asyncio.TaskGroup() as group:
        for number in range(5):
            group.create_task(work(number))
    assert order == expected


async def test_whoever_has_waited_too_long_is_sent_away_in_time():
    queue, begun = RequestQueue(max_concurrent=1), now()
    assert await queue.enter(begun)
    assert not await queue.enter(begun - 1.0)
    assert now() == pytest.approx(begun + MAX_AGE_S - 1.0)
    assert not await queue.enter(begun - MAX_AGE_S)
    queue.leave()
    assert await queue.enter(now())


async def test_the_oldest_makes_way_when_the_line_is_full():
    queue = RequestQueue(max_concurrent=1)
    assert await queue.enter(now())
    async with asyncio.TaskGroup() as group:
        waiting = [group.create_task(queue.enter(now())) for _ in range(MAX_WAITING)]
        await asyncio.sleep(0)
        assert queue.handshakes_allowed < 0
        waiting.append(group.create_task(queue.enter(now())))
        await asyncio.sleep(0.01)
        assert [one.done() for one in waiting] == [True] + [False] * MAX_WAITING
        assert waiting[0].result() is False
        for _ in range(MAX_WAITING):
            queue.leave()
            await asyncio.sleep(0)
    assert all(one.result() for one in waiting[1:])


async def test_one_that_is_cancelled_takes_nobody_s_place():
    queue = RequestQueue(max_concurrent=1)
    assert await queue.enter(now())
    waiting = asyncio.create_task(queue.enter(now()))
    let_in = asyncio.create_task(queue.enter(now()))
    await asyncio.sleep(0)
    queue.leave()
    for one in (waiting, let_in):
        one.cancel()
    await asyncio.wait([waiting, let_in])
    assert await queue.enter(now())


async def test_whoever_waits_for_somebody_else_makes_room():
    queue = RequestQueue(max_concurrent=1)
    assert await queue.enter(now())
    with queue.place_released():
        assert await queue.enter(now())
        queue.leave()
    assert not await queue.enter(now() - MAX_AGE_S + 0.1)


def test_those_who_are_sent_away_are_asked_to_come_back_at_many_moments():
    seconds = {RequestQueue().retry_after() for _ in range(1000)}
    assert min(seconds) >= RETRY_AFTER_S[0]
    assert max(seconds) <= RETRY_AFTER_S[1]
    assert len(seconds) > 20


async def test_a_device_that_cannot_be_served_learns_so_before_anything_is_done_for_it():
    server = world()
    for _ in range(1000):  # all that work is busy, for ever
        server.parts.queue._active += 1
    begun = now()
    answer = await post(server.transport, signed_headers())
    problem = refused(answer, ProblemCode.OVERLOADED)
    assert problem.retry_after
    assert RETRY_AFTER_S[0] <= problem.retry_after <= RETRY_AFTER_S[1]
    assert now() - begun == pytest.approx(MAX_AGE_S)
    assert "signature" in answer.headers
    server.parts.queue._active = 0
    # Nothing was counted: the very same request is good.
    assert (await post(server.transport, signed_headers(), ASKED)).status_code == 200


async def test_a_slow_service_is_not_in_the_way_of_what_needs_none():
    class Slow(FakeUpstream):
        async def mint(self, spec: MintSpec) -> str:
            await asyncio.sleep(3.0)
            return await super().mint(spec)

    many = {f"device-{number}": keys.private_key(keys.new_private_key()) for number in range(40)}
    known = {DEVICE: KEY, **many}
    server = world(Slow(), devices={name: keys.public_key_text(key) for name, key in known.items()})
    async with asyncio.TaskGroup() as group:
        asked = [group.create_task(server.token(device=name, key=key)) for name, key in many.items()]
        await asyncio.sleep(1.0)
        begun = now()
        assert (await server.ask("GET", "/v1/device")).status_code == 200
        assert now() == begun
    assert [one.result().status_code for one in asked] == [200] * 40


class Going:
    """Stands for a `Visit` whose sender is seen to have gone at the nth look."""

    def __init__(self, looks: int) -> None:
        self.came_at = now()
        self._looks = looks

    @property
    def is_gone(self) -> bool:
        self._looks -= 1
        return self._looks < 0


@pytest.mark.parametrize(("looks", "counted"), [(0, 0), (1, 1)])
async def test_nothing_is_minted_for_a_device_that_has_gone_and_what_was_counted_is_taken_back(
    looks: int, counted: int
):
    server = world()
    arrival = Going(looks)

    async def app(scope, receive, send) -> None:
        await server.app({**scope, "state": {ARRIVAL: arrival}}, receive, send)

    # Without an answer, as there is nobody to answer, or with one that goes nowhere.
    with suppress(AssertionError):
        await post(httpx2.ASGITransport(app), signed_headers())
    assert server.upstream.specs == []
    rows = server.work(lambda c: c.execute(select(SESSION.c.state)).scalars().all())
    assert rows == ["refunded"] * counted
    assert server.work(lambda c: c.execute(select(USAGE.c.sessions)).scalars().all()) == [0] * counted
