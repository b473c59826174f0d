"""The engine on a real ALSA PCM through the real PortAudio: exact when all is well, back by itself when it is not."""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from appliance.audio.ports import Block
from appliance.audio.worker.messages import WorkerConfig
from appliance.audio.worker.supervisor import COMMAND, WorkerSupervisor
from appliance.units import Epoch, Seconds
from appliance.virtual_card.card import RING, Fault, Hardware
from tests.support.audio_engine import LAP, counting, household, runs, sounded
from tests.support.virtual_card import PlugIn

pytestmark = pytest.mark.realtime

REPLY, NEXT = Epoch(1), Epoch(2)
RATE = 24_000
NOTICED_S = 5.0
"""Against a goal of 0.25 s, which `scripts/bench audio` holds: these tests share a busy machine."""


def jumped(blocks: list[Block]) -> int:
    """Return how many samples the index says are missing between the blocks."""
    return sum(after.start - before.start - len(before.samples) for before, after in pairwise(blocks))


def noise() -> np.ndarray:
    return np.random.default_rng(1).integers(-20_000, 20_000, RING).astype(np.int16)


async def test_every_sample_of_the_microphone_comes_once_and_when_it_was_captured(plug_in: PlugIn):
    card, lap = plug_in(), noise()
    card.microphone.fill(lap)

    async with household() as house:
        await house.until(lambda: sum(len(block.samples) for block in house.blocks) > 12_000)
    blocks = house.blocks
    starts = [block.start for block in blocks]
    lengths = [len(block.samples) for block in blocks]
    assert starts == [0, *np.cumsum(lengths)[:-1]]
    heard = np.concatenate([block.samples for block in blocks])
    said = card.microphone.frame(blocks[0].captured_at) - lengths[0]
    true = [
        offset
        for offset in range(-40, 41)
        if np.array_equal(lap[(said + offset + np.arange(len(heard))) % RING], heard)
    ]
    assert len(true) == 1
    assert abs(true[0]) <= 16  # 1 ms


async def test_a_reply_is_played_exactly_and_heard_to_its_end(plug_in: PlugIn):
    card = plug_in()

    async def main():
        async with household() as house:
            await house.hearing()
            for number in range(1, 6):
                xruns, begun_at = card.speaker.xruns, house.now
                await house.playback.write(Epoch(number), counting(RATE))
                house.playback.finish(Epoch(number))
                await asyncio.sleep(0.5)
                said, asked_at = house.playback.heard(Epoch(number), Seconds(house.now)), house.now
                await house.until(lambda: house.drained)
                house.drained.clear()
                start, stop = card.speaker.frame(begun_at), card.speaker.now
                if card.speaker.xruns == xruns:  # or the machine had no time for its card
                    return card.speaker.played(start, stop), said, card.speaker.frame(asked_at) - start
            raise AssertionError(house.engine.heartbeat)

    played, said, asked_after = await main()
    began_after = np.flatnonzero(played)[0]
    [(first, last)] = runs(played[began_after:])
    assert first < 100  # the fade
    assert last == RATE - 1
    assert said == pytest.approx(asked_after - began_after, abs=0.005 * RATE)


async def test_an_interruption_is_silent_soon_and_nothing_old_follows(plug_in: PlugIn):
    card = plug_in()

    async with household() as house:
        await house.hearing()
        for number in range(6):
            await house.playback.write(Epoch(2 * number + 1), np.full(RATE, 9_000, np.int16))
            await house.playing()
            await asyncio.sleep(0.05 + number * 0.0137)
            house.silent.clear()
            flushed_at = house.now
            house.playback.flush()
            await house.playback.write(Epoch(2 * number + 2), np.full(2_400, -4_000, np.int16))
            house.playback.finish(Epoch(2 * number + 2))
            await house.until(lambda: house.silent)
            await asyncio.sleep(0.25)
            after = card.speaker.played(card.speaker.frame(flushed_at), card.speaker.now).astype(int)
            loud = np.flatnonzero(after > 0)
            assert loud[-1] / RATE < 0.15
            assert card.speaker.time_of(card.speaker.frame(flushed_at) + int(loud[-1])) == pytest.approx(
                house.silent[0], abs=0.005
            )
            assert np.count_nonzero(after < 0) == pytest.approx(2_400, abs=10)


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(Fault.GONE, marks=pytest.mark.rages),
        pytest.param(Fault.DISCONNECTED, marks=pytest.mark.slow),
        pytest.param(Fault.STALLED, marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize("jack", [pytest.param("microphone", marks=pytest.mark.slow), "speaker"])
async def test_a_card_that_stops_is_noticed_and_comes_back_and_the_reply_goes_on(
    plug_in: PlugIn, jack: str, fault: Fault
):
    card = plug_in()

    async with household() as house:
        await house.hearing()
        begun_at, workers = house.now, house.engine.workers
        await house.playback.write(REPLY, counting(RATE * 3 // 2))
        house.playback.finish(REPLY)
        await house.playing()
        await asyncio.sleep(0.3)
        getattr(card, jack).fail(fault)
        assert await house.until(lambda: house.engine.workers > workers) < NOTICED_S
        if fault is not Fault.STALLED:
            await house.until(lambda: house.errors_of(jack))
            assert len(house.errors_of(jack)) == 1
        getattr(card, jack).fail(Fault.FINE)
        await house.until(lambda: house.drained)
        assert await house.hearing() < NOTICED_S
        played, blocks = sounded(card.speaker, begun_at), house.blocks
    heard = runs(played)
    assert len(heard) >= 2
    assert heard[-1][1] == (RATE * 3 // 2 - 1) % LAP
    gap = (heard[1][0] - heard[0][1] + LAP // 2) % LAP - LAP // 2
    # What the card held when it was lost; the virtual one plays that of a process that is gone, a real one drops it.
    assert abs(gap) < RATE * 0.06
    last = blocks[-1]
    span_s = last.captured_at - blocks[0].captured_at
    assert (last.start + len(last.samples) - len(blocks[0].samples)) / 16_000 == pytest.approx(span_s, abs=0.01)


async def test_a_killed_worker_is_a_pause_and_no_fault(plug_in: PlugIn):
    card = plug_in()

    async with household() as house:
        await house.hearing()
        begun_at = house.now
        await house.playback.write(REPLY, counting(RATE))
        house.playback.finish(REPLY)
        await house.playing()
        await asyncio.sleep(0.2)
        os.kill(house.engine.pid or 0, signal.SIGKILL)
        await house.until(lambda: house.drained)
        await house.hearing()
        assert not house.errors
        assert house.playback.counts.resumed == 1
        result = sounded(card.speaker, begun_at)
    heard = runs(result)
    assert heard[-1][1] == (RATE - 1) % LAP


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        (Fault.ABSENT, "the microphone virtual_mic is missing"),
        pytest.param(Fault.BUSY, "another program uses the microphone virtual_mic", marks=pytest.mark.slow),
        pytest.param(Fault.DENIED, "permission denied for the microphone virtual_mic", marks=pytest.mark.slow),
    ],
)
async def test_a_card_that_cannot_be_opened_is_told_once_and_taken_when_it_can(
    plug_in: PlugIn, fault: Fault, says: str
):
    card = plug_in()
    card.microphone.fail(fault)

    async with household() as house:
        await house.until(lambda: house.errors)
        await house.playback.write(REPLY, counting(RATE // 4))
        house.playback.finish(REPLY)
        await house.until(lambda: house.drained)  # the speaker works without it
        await asyncio.sleep(0.4)
        card.microphone.fail(Fault.FINE)
        assert await house.hearing() < NOTICED_S
        assert len(house.errors_of("microphone")) == 1
        assert says in house.errors_of("microphone")[0]


async def test_a_card_that_portaudio_cannot_use_is_told_once_and_not_tried_all_the_time(plug_in: PlugIn):
    plug_in(speaker=Hardware(4_000))

    async with household() as house:
        await house.until(lambda: house.errors)
        await house.hearing()
        workers = house.engine.workers
        await asyncio.sleep(1.0)
        assert house.engine.workers == workers
        assert len(house.errors_of("speaker")) == 1
        assert house.errors_of("speaker")[0] == "the speaker virtual_speaker: it has no rate from 8 to 192 kHz"


async def test_a_card_that_loses_samples_is_a_jump_of_the_index(plug_in: PlugIn):
    card = plug_in()

    async with household() as house:
        await house.hearing()
        await asyncio.sleep(0.3)
        card.microphone.skip(16_000)  # its buffer is 0.3 s
        await house.until(lambda: jumped(house.blocks) > 0)
        await house.until(lambda: house.engine.heartbeat.lost == jumped(house.blocks))


async def test_a_speaker_that_runs_empty_too_often_gets_longer_periods(
    plug_in: PlugIn, caplog: pytest.LogCaptureFixture
):
    card = plug_in()

    with caplog.at_level("INFO"):
        async with household() as house:
            await house.hearing()
            await house.until(lambda: card.speaker.period_and_buffer[0] == 240)
            await asyncio.sleep(1.3)  # its first second is its start
            await house.playback.write(REPLY, counting(RATE))
            house.playback.finish(REPLY)
            for _ in range(3):
                await asyncio.sleep(0.15)
                card.speaker.xrun()
            await house.until(lambda: card.speaker.period_and_buffer[0] == 480)
            await house.until(lambda: house.drained)
            assert not house.errors
            assert house.engine.workers == 1
    assert any("audio.period-stepped" in record.message for record in caplog.records)


def test_the_worker_ends_with_the_daemon_however_that_ends(plug_in: PlugIn):
    plug_in()
    program = textwrap.dedent("""
        import asyncio, sys
        from appliance.audio.worker.supervisor import COMMAND, WorkerSupervisor
        from appliance.audio.worker.messages import WorkerConfig
        async def main():
            engine = WorkerSupervisor(WorkerConfig("virtual_mic", "virtual_speaker"))
            async with asyncio.TaskGroup() as group:
                group.create_task(engine.run())
                while not engine.heartbeat.captured:
                    await asyncio.sleep(0.01)
                print(engine.pid, flush=True)
        asyncio.run(main())
    """)
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as daemon:
        assert daemon.stdout is not None
        pid = int(daemon.stdout.readline())
        daemon.kill()
    deadline = time.monotonic() + 5
    while Path(f"/proc/{pid}").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not Path(f"/proc/{pid}").exists()


@pytest.mark.rages
async def test_the_log_is_not_flooded_by_a_card_that_makes_portaudio_rage(
    plug_in: PlugIn, caplog: pytest.LogCaptureFixture
):
    card = plug_in()

    with caplog.at_level("INFO"):
        async with household() as house:
            await house.hearing()
            card.microphone.fail(Fault.GONE)
            await house.until(lambda: house.errors)
            await asyncio.sleep(0.3)
    assert 3 < len(caplog.records) < 25


@pytest.mark.parametrize("jack", ["microphone", pytest.param("speaker", marks=pytest.mark.slow)])
async def test_a_card_that_is_unplugged_while_nothing_is_said_comes_back(plug_in: PlugIn, jack: str):
    card = plug_in()

    async with household() as house:
        await house.hearing()
        workers = house.engine.workers
        getattr(card, jack).fail(Fault.DISCONNECTED)
        assert await house.until(lambda: house.engine.workers > workers) < NOTICED_S
        await house.until(lambda: house.errors_of(jack))
        getattr(card, jack).fail(Fault.FINE)
        await house.until(lambda: house.engine.microphone.ready and house.engine.speaker.ready)
        await house.hearing()
        assert len(house.errors_of(jack)) == 1


async def test_clocks_that_drift_lose_nothing(plug_in: PlugIn):
    card = plug_in()
    card.microphone.drift(300)
    card.speaker.drift(-300)

    async with household() as house:
        await house.hearing()
        begun_at = house.now
        await house.playback.write(REPLY, counting(RATE))
        house.playback.finish(REPLY)
        await house.until(lambda: house.drained)
        assert house.engine.heartbeat.lost == 0
        result = sounded(card.speaker, begun_at)
    assert runs(result)[-1][1] == RATE - 1


@pytest.mark.skipif(shutil.which("setpriv") is None or os.geteuid() != 0, reason="needs root to give up a right")
async def test_without_real_time_priority_it_works_and_says_so(plug_in: PlugIn, caplog: pytest.LogCaptureFixture):
    plug_in()
    unprivileged = ("setpriv", "--bounding-set", "-sys_nice", "--inh-caps", "-sys_nice", *COMMAND)

    with caplog.at_level("INFO"):
        async with household(WorkerSupervisor(WorkerConfig("virtual_mic", "virtual_speaker"), unprivileged)) as house:
            await house.hearing()
            await house.playback.write(REPLY, counting(RATE // 4))
            house.playback.finish(REPLY)
            await house.until(lambda: house.drained)
    opened = [vars(record)["fields"] for record in caplog.records if "audio.opened" in record.message]
    assert {fields["scheduling"] for fields in opened} == {"ordinary"}


async def test_one_direction_alone_is_served(plug_in: PlugIn):
    card = plug_in()
    card.speaker.fail(Fault.ABSENT)

    engine = WorkerSupervisor(WorkerConfig("virtual_mic", None))
    async with household(engine) as house:
        await house.hearing()
