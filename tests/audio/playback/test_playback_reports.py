"""Reports of playback: the truth about what was heard, and when."""

import asyncio

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.audio.playback.playback import Playback
from appliance.units import Epoch, Seconds
from tests.audio.playback.harness import EXACT, FADE, NEW, OLD, ReportLog, level, running
from tests.clock import run_virtual
from tests.support.speaker import RATE, TimedSpeaker


@settings(deadline=None, max_examples=25)
@given(
    st.lists(st.integers(1_500, 6_000), min_size=1, max_size=12),
    st.lists(st.floats(0.0, 0.3), min_size=1, max_size=12),
    st.integers(100, 700),
    st.floats(0.0, 0.2),
)
async def test_the_heard_position_is_exact(chunks, pauses, frames, latency_s):
    loop = asyncio.get_running_loop()
    speaker, playback = TimedSpeaker(frames, latency_s), Playback()
    asked: list[tuple[Seconds, int]] = []
    async with running(playback, speaker):
        for number, count in enumerate(chunks):
            newest = 1 + number // 3
            await playback.write(Epoch(newest), level(count))
            await asyncio.sleep(pauses[number % len(pauses)])
            now = Seconds(loop.time())
            asked.append((now, sum(playback.heard(Epoch(epoch), now) for epoch in range(1, newest + 1))))
            if number % 5 == 4:
                playback.flush()
        playback.finish(Epoch(newest))
        await asyncio.sleep(4)
    zeros = 2 * (len(chunks) + playback.counts.underruns + playback.counts.flushes)  # where a fade ends or begins
    for now, heard in asked:
        passed = max(0, round((now - speaker.begun_at) * RATE))
        assert heard == pytest.approx(np.count_nonzero(speaker.heard[:passed]), abs=zeros)


async def test_after_a_flush_the_fade_adds_to_what_was_heard():
    loop = asyncio.get_running_loop()
    speaker, playback = TimedSpeaker(frames=240, latency_s=0.05), Playback()
    async with running(playback, speaker):
        await playback.write(OLD, level(RATE))
        await asyncio.sleep(0.3)
        flushed_at = loop.time()
        playback.flush()
        heard = playback.heard(OLD, Seconds(flushed_at))
        await asyncio.sleep(0.5)
        final = playback.heard(OLD, Seconds(loop.time()))
    first = int(np.flatnonzero(speaker.heard)[0])
    assert heard == pytest.approx((flushed_at - speaker.at(first)) * RATE, abs=2)
    assert final == np.count_nonzero(speaker.heard) + 2  # a fade begins, and one ends, with a zero
    assert final - heard <= 240 + 0.05 * RATE + FADE


async def test_a_reply_is_audible_once_and_drained_once_when_its_last_sample_was_heard():
    log, speaker = ReportLog(), TimedSpeaker(latency_s=0.08)
    playback = Playback(log.reports())
    async with running(playback, speaker):
        await playback.write(OLD, level(5_000))
        await playback.write(OLD, level(5_001))
        await asyncio.sleep(0.1)
        playback.finish(OLD)
        playback.finish(OLD)
        await asyncio.sleep(2)
    first, last = np.flatnonzero(speaker.heard)[[0, -1]] - (1, 0)  # the fade begins with a zero
    assert log.audible == [
        (OLD, pytest.approx(speaker.at(first), abs=EXACT), pytest.approx(speaker.at(first), abs=EXACT))
    ]
    assert log.drained == [(OLD, pytest.approx(speaker.at(last + 1), abs=EXACT))]
    assert not log.stalled


async def test_a_late_end_is_drained_at_once():
    log = ReportLog()
    playback = Playback(log.reports())
    async with running(playback, TimedSpeaker()):
        await playback.write(OLD, level(RATE))
        await asyncio.sleep(3)
        assert not log.drained
        playback.finish(OLD)
        await asyncio.sleep(0.2)
    assert [epoch for epoch, _ in log.drained] == [OLD]


async def test_a_reply_without_audio_is_drained_at_once_and_holds_nobody_up():
    log = ReportLog()
    playback = Playback(log.reports())
    async with running(playback, TimedSpeaker()):
        playback.finish(OLD)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert [epoch for epoch, _ in log.drained] == [OLD]
        await playback.write(NEW, level(3_000))
        playback.finish(NEW)
        await asyncio.sleep(1)
    assert [epoch for epoch, _ in log.drained] == [OLD, NEW]
    assert [epoch for epoch, *_ in log.audible] == [NEW]


async def test_two_replies_in_the_ring_are_drained_one_after_the_other():
    log, speaker = ReportLog(), TimedSpeaker()
    playback = Playback(log.reports())
    async with running(playback, speaker):
        await playback.write(OLD, level(5_000))
        await playback.write(NEW, level(4_000, -5_000))
        playback.finish(NEW)
        await asyncio.sleep(1)
    ends = [np.flatnonzero(speaker.heard == value)[-1] + 1 for value in (10_000, -5_000)]
    assert log.drained == [
        (OLD, pytest.approx(speaker.at(ends[0]), abs=EXACT)),
        (NEW, pytest.approx(speaker.at(ends[1]), abs=EXACT)),
    ]


async def test_a_flushed_reply_is_never_drained():
    log = ReportLog()
    playback = Playback(log.reports())
    async with running(playback, TimedSpeaker(latency_s=0.2)):
        await playback.write(OLD, level(4_800))
        playback.finish(OLD)
        await asyncio.sleep(0.25)  # all of it is in the device buffer
        playback.flush()
        await asyncio.sleep(5)
    assert not log.drained
    assert [epoch for epoch, *_ in log.audible] == [OLD]


async def test_a_reply_that_breaks_off_is_reported_once_until_more_comes():
    log = ReportLog()
    playback = Playback(log.reports(), stall_s=2.0)
    loop = asyncio.get_running_loop()
    async with running(playback, TimedSpeaker(latency_s=0.05)):
        await playback.write(OLD, level(RATE))
        begun_at = loop.time()
        await asyncio.sleep(20)
        await playback.write(OLD, level(100))
        await asyncio.sleep(20)
        await playback.write(OLD, level(RATE))
        playback.finish(OLD)
        await asyncio.sleep(20)
    first, second = log.stalled
    assert first == (OLD, pytest.approx(begun_at + 1.0 + 0.05 + 2.0, abs=0.02))
    assert second == (OLD, pytest.approx(begun_at + 20 + 2.0, abs=0.02))
    assert playback.counts.underruns == 1
    assert [epoch for epoch, _ in log.drained] == [OLD]


async def test_an_underrun_counts_only_in_the_middle_of_a_reply():
    playback = Playback()
    async with running(playback, TimedSpeaker()):
        await playback.write(OLD, level(RATE // 2))
        await asyncio.sleep(1)
        assert playback.counts.underruns == 1
        await playback.write(OLD, level(RATE // 2))
        playback.finish(OLD)
        await asyncio.sleep(1)
    assert playback.counts.underruns == 1


def test_nobody_is_woken_while_nothing_plays():
    async def main() -> None:
        async with running(Playback(), TimedSpeaker()):
            await asyncio.sleep(1)
        async with running(Playback()):
            await asyncio.Event().wait()

    with pytest.raises(RuntimeError, match="no timer is set"):
        run_virtual(main)
