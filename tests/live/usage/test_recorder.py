"""Reported usage is added up, logged, written to disk, and stopped at a cap."""

import asyncio
import logging

import pytest

from appliance.core.events import Trouble
from appliance.live.messages import TokenCount, UsageReported
from appliance.live.usage.pricing import Caps
from appliance.live.usage.recorder import SETTLE_S, UsageRecorder
from tests.support.live import MODEL, TODAY, FakeStore

DOLLAR = UsageReported(0, response=TokenCount(audio=83_334))
"""At 12 USD a million."""


def metering(caps: Caps, store: FakeStore | None = None) -> UsageRecorder:
    return UsageRecorder(caps, store or FakeStore(), lambda: TODAY)


def stop(meter: UsageRecorder) -> Trouble | None:
    """Ask anew: what it says changes."""
    return meter.stop


def test_a_cap_stops_what_it_is_for():
    meter = metering(Caps(session=1.0, day=2.0))
    assert stop(meter) is None
    meter.count(DOLLAR, MODEL)
    assert stop(meter) is Trouble.CAP_SESSION
    meter.begin_conversation()
    assert stop(meter) is None
    meter.count(DOLLAR, MODEL)
    assert stop(meter) is Trouble.CAP_DAY
    meter.begin_conversation()
    assert stop(meter) is Trouble.CAP_DAY


async def test_sums_outlive_the_program():
    store = FakeStore()

    meter = metering(Caps(), store)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(meter.run())
        for _ in range(3):
            meter.count(DOLLAR, MODEL)
        await asyncio.sleep(SETTLE_S + 0.1)
        assert store.saves == 1, "reports that come together are written together"
        meter.count(DOLLAR, MODEL)
        await asyncio.sleep(0)
        running.cancel()
    assert store.saves == 2, "nothing is lost at the end"
    assert metering(Caps(month=4.0), store).stop is Trouble.CAP_MONTH


def test_each_turn_is_logged_and_each_cap_once_a_conversation(caplog: pytest.LogCaptureFixture):
    meter = metering(Caps(day=4.5))
    with caplog.at_level(logging.INFO, "appliance"):
        for _ in range(6):
            meter.count(DOLLAR, MODEL)
    lines = [record.getMessage() for record in caplog.records]
    turns = [line for line in lines if line.startswith("usage.turn")]
    assert len(turns) == 6
    assert "day=2.000016" in turns[1]
    assert [line for line in lines if line.startswith("usage.cap")] == [
        "usage.cap cap=day reached=warn",
        "usage.cap cap=day reached=stop",
    ]
