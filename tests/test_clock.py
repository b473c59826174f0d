"""The virtual-time loop keeps its promises."""

import asyncio
import contextlib
import time

import pytest

from tests.clock import run_virtual


def test_an_hour_passes_at_once():
    async def main() -> float:
        start = asyncio.get_running_loop().time()
        await asyncio.sleep(3600)
        return asyncio.get_running_loop().time() - start

    began = time.monotonic()
    assert run_virtual(main) == pytest.approx(3600)
    assert time.monotonic() - began < 5


def test_a_deadlock_is_an_error():
    async def main() -> None:
        await asyncio.get_running_loop().create_future()

    with pytest.raises(RuntimeError, match="deadlock"):
        run_virtual(main)


def test_a_forgotten_task_is_an_error():
    async def main() -> None:
        asyncio.get_running_loop().create_task(asyncio.sleep(10), name="forgotten")

    with pytest.raises(AssertionError, match="forgotten"):
        run_virtual(main)


def test_whoever_waits_for_the_rest_of_a_time_that_is_less_than_the_clock_can_tell_is_woken():
    async def main() -> None:
        loop = asyncio.get_running_loop()
        due = loop.time() + 1e-11
        while loop.time() < due:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(due):
                    await loop.create_future()

    run_virtual(main)
