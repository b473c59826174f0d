import asyncio

import pytest

from appliance.timeout import timeout


async def test_it_ends_what_takes_longer():
    with pytest.raises(TimeoutError):
        async with timeout(1):
            await asyncio.sleep(2)


@pytest.mark.parametrize("seconds", [3, None])
async def test_it_leaves_alone_what_is_in_time(seconds: float | None):
    async with timeout(seconds):
        await asyncio.sleep(2)


async def test_it_holds_while_a_cancelled_task_cleans_up():
    ended = []

    async def work() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            try:
                async with timeout(1):
                    await asyncio.sleep(60)
            except TimeoutError:
                ended.append("in time")

    task = asyncio.create_task(work())
    await asyncio.sleep(1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended == ["in time"]


async def test_a_cancellation_meanwhile_stays_one():
    async def work() -> None:
        async with timeout(10):
            await asyncio.sleep(60)

    task = asyncio.create_task(work())
    await asyncio.sleep(1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
