import asyncio

import pytest

from appliance.timeout import timeout
from tests.clock import run_virtual


def test_it_ends_what_takes_longer():
    async def main() -> None:
        with pytest.raises(TimeoutError):
            async with timeout(1):
                await asyncio.sleep(2)

    run_virtual(main)


@pytest.mark.parametrize("seconds", [3, None])
def test_it_leaves_alone_what_is_in_time(seconds: float | None):
    async def main() -> None:
        async with timeout(seconds):
            await asyncio.sleep(2)

    run_virtual(main)


def test_it_holds_while_a_cancelled_task_cleans_up():
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

    async def main() -> None:
        task = asyncio.create_task(work())
        await asyncio.sleep(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run_virtual(main)
    assert ended == ["in time"]


def test_a_cancellation_meanwhile_stays_one():
    async def work() -> None:
        async with timeout(10):
            await asyncio.sleep(60)

    async def main() -> None:
        task = asyncio.create_task(work())
        await asyncio.sleep(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run_virtual(main)
