"""The virtual-time loop keeps its promises; time limits; the time zone."""

import asyncio
import contextlib
import time
from collections.abc import Iterator
from datetime import timedelta

import pytest

from appliance.clock import local_now, timeout
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


async def test_a_time_limit_ends_what_takes_longer():
    with pytest.raises(TimeoutError):
        async with timeout(1):
            await asyncio.sleep(2)


@pytest.mark.parametrize("seconds", [3, None])
async def test_a_time_limit_leaves_alone_what_is_in_time(seconds: float | None):
    async with timeout(seconds):
        await asyncio.sleep(2)


async def test_a_time_limit_holds_while_a_cancelled_task_cleans_up():
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


@pytest.fixture
def zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    yield monkeypatch
    monkeypatch.undo()
    time.tzset()


def test_a_zone_that_is_changed_while_the_daemon_runs_counts_at_once(zone: pytest.MonkeyPatch):
    assert local_now().utcoffset() == timedelta(hours=9)
    zone.setenv("TZ", "America/Caracas")  # as timedatectl does it with /etc/localtime: nobody tells the process
    assert local_now().utcoffset() == timedelta(hours=-4)
