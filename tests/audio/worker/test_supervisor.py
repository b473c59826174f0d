"""The engine and workers that misbehave: each is replaced, none is waited for, and nothing floods the log."""

import asyncio
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from appliance.audio.echo.status import EchoStatus
from appliance.audio.worker.messages import Heartbeat, WorkerConfig
from appliance.audio.worker.supervisor import WorkerSupervisor
from tests.support.audio_engine import household

pytestmark = pytest.mark.realtime

STUB = Path(__file__).with_name("worker_stub.py")


def engine(behaviour: str) -> WorkerSupervisor:
    return WorkerSupervisor(WorkerConfig("card", None), command=(sys.executable, str(STUB), behaviour))


async def test_a_worker_that_falls_silent_is_replaced_without_a_fault():
    async with household(engine("falls silent")) as house:
        await house.until(lambda: house.engine.workers >= 3)
        assert not house.errors


async def test_workers_that_die_are_started_again_ever_more_slowly_and_are_a_fault(caplog):
    async with household(engine("dies")) as house:
        await house.until(lambda: house.errors)
        assert house.engine.workers <= 5
        await house.until(lambda: house.engine.workers >= 4)
        assert house.errors[0] == "the audio worker does not start: see the journal"
    pauses = [float(record.fields["pause_s"]) for record in caplog.records if "worker-failed" in record.message]
    assert pauses[:3] == [0.0, 0.25, 0.5]


async def test_what_a_worker_loses_is_told_and_not_with_every_beat(caplog):
    with caplog.at_level("WARNING"):
        async with household(engine("loses")) as house:
            await house.until(lambda: house.engine.heartbeat.lost >= 50)
    (losses,) = [record.fields for record in caplog.records if "audio.losing" in record.message]
    assert losses["lost"] == "10"


@pytest.mark.parametrize("behaviour", ["nonsense", pytest.param("rages", marks=pytest.mark.slow)])
async def test_a_worker_that_talks_nonsense_or_rages_is_a_bounded_nuisance(behaviour, caplog):
    with caplog.at_level("INFO"):
        async with household(engine(behaviour)) as house:
            await asyncio.sleep(2)
            assert house.engine.workers < 6
            assert len(caplog.records) < 40
            await house.until(lambda: len(caplog.records) > 2)


async def test_a_worker_that_does_not_read_is_replaced():
    async with household(engine("does not read")) as house:
        await house.hearing() if house.blocks else await house.until(lambda: house.engine.microphone.ready)
        workers = house.engine.workers
        for _ in range(2_000):
            house.engine.speaker.queue(np.zeros(9_600, np.int16))
        await house.until(lambda: house.engine.workers > workers)


async def test_the_index_keeps_in_step_with_time_from_worker_to_worker():
    async with household(engine("brings a second")) as house:
        await house.until(lambda: house.engine.workers >= 3 and len(house.blocks) > 22)
        blocks = house.blocks
    assert blocks[0].start == 0
    assert all(after.start >= before.start + 320 for before, after in pairwise(blocks))
    jumps = [after.start - before.start for before, after in pairwise(blocks) if after.start - before.start > 320]
    assert jumps
    span_s = blocks[-1].captured_at - blocks[0].captured_at
    assert (blocks[-1].start - blocks[0].start) / 16_000 == pytest.approx(span_s, abs=0.1)


async def test_an_engine_that_is_stopped_leaves_no_worker():
    async with household(engine("does not read")) as house:
        await house.until(lambda: house.engine.microphone.ready)
        result = house.engine.pid
    assert not Path(f"/proc/{result}").exists()


async def test_a_canceller_that_is_no_longer_reported_has_failed():
    supervisor = WorkerSupervisor(WorkerConfig(None, None))
    for report in (EchoStatus(), Heartbeat()):
        supervisor._take(report)
        assert supervisor.echo == EchoStatus()
    supervisor._take(Heartbeat())
    assert supervisor.echo is None
