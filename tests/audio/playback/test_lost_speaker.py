"""A speaker that is lost: replies wait for the next one, and go on where they were heard to."""

import asyncio
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.audio.playback.playback import Playback
from appliance.units import Epoch, Seconds
from tests.audio.playback.harness import FADE, NEW, OLD, ReportLog, level, pull, running
from tests.support.speaker import RATE, Plugged, TimedSpeaker


@pytest.mark.parametrize("lost_after_s", [0.05, 0.3, 0.8, 1.49, 1.6])
async def test_a_reply_goes_on_with_the_first_sample_that_was_not_heard(lost_after_s):
    log, reply = ReportLog(), (np.arange(RATE * 3 // 2) % 20_000 + 9_001).astype(np.int16)
    playback = Playback(log.reports())
    first, second = TimedSpeaker(), TimedSpeaker()
    loop = asyncio.get_running_loop()
    async with running(playback):
        async with asyncio.TaskGroup() as group:
            task = group.create_task(first.run(playback))
            await playback.write(OLD, reply)
            playback.finish(OLD)
            await asyncio.sleep(lost_after_s)
            lost_at = loop.time()
            task.cancel()
        heard = playback.heard(OLD, Seconds(loop.time()))
        await asyncio.sleep(0.4)
        assert playback.heard(OLD, Seconds(loop.time())) == heard
        async with asyncio.TaskGroup() as group:
            task = group.create_task(second.run(playback))
            await asyncio.sleep(2.5)
            task.cancel()
    before = first.heard[: round((lost_at - first.begun_at) * RATE)] if lost_after_s > 0.03 else first.heard[:0]
    began = int(np.flatnonzero(before)[0]) - 1 if before.any() else len(before)
    assert len(before) - began == pytest.approx(heard, abs=12) or heard == len(reply)
    if heard < len(reply):
        rest = second.heard[np.flatnonzero(second.heard)[0] - 1 :]
        assert np.array_equal(rest[FADE : len(reply) - heard], reply[heard + FADE :])
        assert not rest[len(reply) - heard :].any()
        assert playback.counts.resumed == (heard > 0)
    assert [epoch for epoch, _ in log.drained] == [OLD]
    assert [epoch for epoch, *_ in log.audible] == [OLD]


async def test_without_a_speaker_replies_wait_and_a_flush_is_silent_at_once():
    log = ReportLog()
    playback = Playback(log.reports())
    async with running(playback):
        await playback.write(OLD, level(RATE))
        playback.finish(OLD)
        await asyncio.sleep(20)
        assert (log.audible, log.drained, log.stalled) == ([], [], [])
        flushed_at = asyncio.get_running_loop().time()
        playback.flush()
        await asyncio.sleep(0.1)
        assert log.silent == [(flushed_at, flushed_at)]
        playback.play(level(10))
        assert playback.counts.sounds_dropped == 1
        await playback.write(NEW, level(RATE, -8_000))
        playback.finish(NEW)
        speaker = TimedSpeaker()
        async with asyncio.TaskGroup() as group:
            task = group.create_task(speaker.run(playback))
            await asyncio.sleep(2)
            task.cancel()
    assert speaker.heard.max() == 0
    assert np.count_nonzero(speaker.heard) == pytest.approx(RATE, abs=2)
    assert [epoch for epoch, _ in log.drained] == [NEW]


async def test_a_flush_that_a_lost_speaker_never_saw_is_silent_when_it_is_lost():
    log = ReportLog()
    playback = Plugged(log.reports())
    async with running(playback):
        await playback.write(OLD, level(RATE))
        pull(playback)
        playback.flush()
        await asyncio.sleep(0.2)
        assert not log.silent
        playback.disconnect()
        await asyncio.sleep(0.1)
    assert len(log.silent) == 1


async def play_and_lose(playback: Playback, speakers: list[TimedSpeaker], losses: list[float]) -> None:
    """Run a speaker; when it has lasted its time, another one, a little later."""
    for lasts_s in losses:
        with suppress(TimeoutError):
            async with asyncio.timeout(lasts_s):
                await speakers[-1].run(playback)
        await asyncio.sleep(0.1)
        speakers.append(TimedSpeaker())
    await speakers[-1].run(playback)


async def test_a_flushed_reply_that_was_lost_before_it_was_heard_does_not_hide_the_next():
    log = ReportLog()
    playback = Playback(log.reports())
    async with running(playback):
        with suppress(TimeoutError):
            async with asyncio.timeout(0.1):
                async with asyncio.TaskGroup() as group:
                    group.create_task(TimedSpeaker(latency_s=0.2).run(playback))
                    await playback.write(OLD, level(RATE))
                    await asyncio.sleep(0.05)
                    playback.flush()
        await playback.write(NEW, level(RATE))
        with suppress(TimeoutError):
            async with asyncio.timeout(1):
                await TimedSpeaker().run(playback)
    assert [epoch for epoch, *_ in log.audible] == [NEW]


async def test_flushes_that_no_speaker_has_seen_yet_cost_the_next_reply_nothing():
    log = ReportLog()
    playback = Plugged(log.reports())
    async with running(playback):
        for epoch in range(1, 7):
            playback.flush()
            await playback.write(Epoch(epoch), level(RATE * 5 // 2))
        playback.finish(Epoch(6))
        for _ in range(300):
            playback.pull(240, Seconds(asyncio.get_running_loop().time()))
            await asyncio.sleep(0.01)
    assert playback.mixer.counts.dropped == 0
    assert [epoch for epoch, _ in log.drained] == [6]


@settings(deadline=None, max_examples=15)
@given(st.data())
async def test_whatever_happens_each_live_reply_is_heard_in_order_and_nothing_old(data):
    playback, speakers = Playback(ring_s=5.0), [TimedSpeaker()]
    losses = data.draw(st.lists(st.floats(0.05, 1.5), max_size=4))
    flush_at = data.draw(st.none() | st.floats(0.05, 2.5))
    loop = asyncio.get_running_loop()
    begun_at = loop.time()

    async def talk() -> None:
        for epoch in range(1, 4):
            await playback.write(Epoch(epoch), level(RATE * 2 // 3, epoch * 1_000))
            playback.finish(Epoch(epoch))

    async with running(playback), asyncio.TaskGroup() as group:
        tasks = [group.create_task(play_and_lose(playback, speakers, losses)), group.create_task(talk())]
        if flush_at is not None:
            await asyncio.sleep(flush_at)
            playback.flush()
        await asyncio.sleep(12 - (loop.time() - begun_at))
        for task in tasks:
            task.cancel()
    heard = np.concatenate([speaker.sounded for speaker in speakers])
    steady = (np.diff(heard, prepend=0) == 0) & (heard > 0)  # where no fade is
    values = heard[steady].tolist()
    assert values == sorted(values)
    if flush_at is None:
        fades = 2 * (FADE + 1) * (len(losses) + 3)
        for epoch in range(1, 4):
            count = values.count(epoch * 1_000)
            assert RATE * 2 // 3 - fades <= count <= RATE * 2 // 3
