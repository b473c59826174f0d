"""A paused reply: silent at once, played on from shortly before, and what was heard counted once."""

import asyncio

import numpy as np
import pytest

from appliance.audio.playback.playback import REPEATED_S, RISE_S, Playback
from appliance.units import Pcm, Seconds
from tests.audio.playback.harness import FADE, NEW, OLD, ReportLog, level, running
from tests.support.speaker import RATE, TimedSpeaker

REPEATED, RISE = round(REPEATED_S * RATE), round(RISE_S * RATE)


def counting(count: int) -> Pcm:
    """Return samples of which each tells its place."""
    return (np.arange(count) // 4 + 1).astype(np.int16)


def place(sample: int) -> int:
    return (sample - 1) * 4


def runs(heard: Pcm) -> list[Pcm]:
    """Cut what was heard where it was silent for long."""
    sounding = np.flatnonzero(heard)
    cuts = np.flatnonzero(np.diff(sounding) > RATE // 10) + 1
    return [heard[run[0] : run[-1] + 1] for run in np.split(sounding, cuts)]


async def paused_for(pause_s: float, speaker: TimedSpeaker, log: ReportLog, seconds: float = 2.0) -> Playback:
    """Play a reply, with a pause after a second of it, to its end."""
    playback = Playback(log.reports())
    async with running(playback, speaker):
        await playback.write(OLD, counting(round(seconds * RATE)))
        playback.finish(OLD)
        await asyncio.sleep(1.0)
        playback.pause()
        await asyncio.sleep(pause_s)
        playback.resume()
        await asyncio.sleep(seconds + 1.0)
    return playback


async def test_after_a_pause_a_reply_goes_on_a_little_earlier_and_rises():
    speaker, log = TimedSpeaker(), ReportLog()
    playback = await paused_for(0.7, speaker, log)
    before, after = runs(speaker.heard)
    stopped = place(int(before[-FADE - 10])) + FADE + 10
    loud = RISE + 10
    began = place(int(after[loud])) - loud
    assert stopped - began == pytest.approx(REPEATED, abs=50)
    assert np.all(np.diff(after[loud:].astype(int)) >= 0)
    assert after[-1] == counting(2 * RATE)[-1]
    assert after[RISE // 2] / after[RISE] == pytest.approx(0.5, abs=0.05)
    assert [epoch for epoch, _ in log.drained] == [OLD]
    assert (log.stalled, playback.counts.pauses) == ([], 1)


async def test_a_pause_is_silent_as_soon_as_a_flush():
    speaker, log = TimedSpeaker(), ReportLog()
    await paused_for(0.7, speaker, log)
    [(silent_at, _)] = log.silent
    assert silent_at - speaker.begun_at < 1.0 + 0.03 + 0.01 + 0.003
    assert not speaker.heard[speaker.sample_of(silent_at) : speaker.sample_of(silent_at + 0.6)].any()


async def test_what_is_played_twice_is_heard_once():
    playback, speaker = Playback(), TimedSpeaker()
    now = asyncio.get_running_loop().time
    async with running(playback, speaker):
        await playback.write(OLD, level(RATE * 3))
        await asyncio.sleep(1.0)
        playback.pause()
        await asyncio.sleep(0.5)
        heard = playback.heard(OLD, Seconds(now()))
        assert heard == pytest.approx(0.98 * RATE, abs=0.05 * RATE)
        playback.resume()
        await asyncio.sleep(0.15)
        assert playback.heard(OLD, Seconds(now())) == heard, "the same again"
        await asyncio.sleep(0.5)
        later = playback.heard(OLD, Seconds(now()))
        assert later - heard == pytest.approx(0.65 * RATE - REPEATED, abs=0.05 * RATE)
        playback.pause()
        playback.flush()
        await asyncio.sleep(0.5)
        assert later <= playback.heard(OLD, Seconds(now())) < later + 0.06 * RATE


async def test_a_pause_does_not_count_towards_a_stall():
    log = ReportLog()
    playback = Playback(log.reports(), stall_s=2.0)
    async with running(playback, TimedSpeaker()):
        await playback.write(OLD, level(RATE))
        await asyncio.sleep(0.5)
        playback.pause()
        await asyncio.sleep(10.0)
        assert log.stalled == []
        resumed_at = asyncio.get_running_loop().time()
        playback.resume()
        await asyncio.sleep(5.0)
    [(_, stalled_at)] = log.stalled
    assert stalled_at - resumed_at == pytest.approx(2.0 + 0.5 + REPEATED_S, abs=0.1)


async def test_a_flush_ends_a_pause_and_the_next_reply_is_heard_at_once():
    speaker, log = TimedSpeaker(), ReportLog()
    playback = Playback(log.reports())
    async with running(playback, speaker):
        await playback.write(OLD, level(RATE))
        await asyncio.sleep(0.5)
        playback.duck()
        playback.pause()
        await asyncio.sleep(0.2)
        playback.flush()
        await playback.write(NEW, level(RATE, -8_000))
        playback.finish(NEW)
        await asyncio.sleep(2.0)
        playback.resume()
        await asyncio.sleep(2.0)
    assert [epoch for epoch, _ in log.drained] == [NEW]
    _, new = runs(speaker.heard)
    assert np.all(new[FADE:-FADE] == -8_000)
    assert len(new) == pytest.approx(RATE, abs=2)


async def test_a_reply_that_was_heard_to_its_end_drains_in_a_pause():
    speaker, log = TimedSpeaker(latency_s=0.3), ReportLog()
    playback = Playback(log.reports())
    async with running(playback, speaker):
        await playback.write(OLD, level(RATE))
        playback.finish(OLD)
        await asyncio.sleep(1.1)
        playback.pause()
        await asyncio.sleep(1.0)
        assert [epoch for epoch, _ in log.drained] == [OLD]
        playback.resume()
        await asyncio.sleep(1.0)
        await playback.write(NEW, level(RATE))
        await asyncio.sleep(2.0)
    _, new = runs(speaker.heard)
    assert len(new) == pytest.approx(RATE, abs=2), "the old one is not repeated"
    assert np.all(new[FADE:-FADE] == 10_000), "nor is the new one any quieter"


async def test_another_speaker_waits_for_the_end_of_the_pause_too():
    log = ReportLog()
    playback = Playback(log.reports())
    first, second = TimedSpeaker(), TimedSpeaker()
    async with running(playback):
        async with asyncio.TaskGroup() as group:
            task = group.create_task(first.run(playback))
            await playback.write(OLD, counting(RATE))
            playback.finish(OLD)
            await asyncio.sleep(0.5)
            playback.pause()
            await asyncio.sleep(0.2)
            task.cancel()
        async with asyncio.TaskGroup() as group:
            task = group.create_task(second.run(playback))
            await asyncio.sleep(1.0)
            assert not second.heard.any()
            playback.resume()
            await asyncio.sleep(2.0)
            task.cancel()
    [rest] = runs(second.heard)
    assert place(int(rest[RISE])) - RISE == pytest.approx(0.45 * RATE - REPEATED, abs=0.06 * RATE)
    assert [epoch for epoch, _ in log.drained] == [OLD]


async def test_another_speaker_begins_ducked():
    playback, first, second = Playback(), TimedSpeaker(), TimedSpeaker()
    async with running(playback, first):
        await playback.write(OLD, level(RATE * 3))
        await asyncio.sleep(0.5)
        playback.duck()
        playback.disconnect()
        async with asyncio.TaskGroup() as group:
            task = group.create_task(second.run(playback))
            await asyncio.sleep(0.5)
            task.cancel()
    assert second.heard.any()
    assert second.heard.max() < 1_500


async def test_the_end_of_a_reply_may_come_in_the_pause_and_more_of_it_too():
    speaker, log = TimedSpeaker(), ReportLog()
    playback = Playback(log.reports())
    whole = counting(3 * RATE)
    async with running(playback, speaker):
        await playback.write(OLD, whole[:RATE])
        await asyncio.sleep(0.5)
        playback.pause()
        await playback.write(OLD, whole[RATE:])
        playback.finish(OLD)
        await asyncio.sleep(0.7)
        playback.resume()
        await asyncio.sleep(0.05)
        playback.pause()
        playback.resume()
        await asyncio.sleep(4.0)
    assert runs(speaker.heard)[-1][-1] == whole[-1]
    assert [epoch for epoch, _ in log.drained] == [OLD]


async def test_a_speaker_lost_after_a_pause_repeats_what_was_not_heard_as_it_is():
    playback, first, second = Playback(extra_delay_s=1.0), TimedSpeaker(), TimedSpeaker()
    async with running(playback, first):
        await playback.write(OLD, level(RATE * 3))
        await asyncio.sleep(1.5)
        playback.pause()
        await asyncio.sleep(0.1)
        playback.resume()
        await asyncio.sleep(0.2)
        playback.disconnect()
        async with asyncio.TaskGroup() as group:
            task = group.create_task(second.run(playback))
            await asyncio.sleep(0.5)
            task.cancel()
    assert second.heard.any()
    assert second.heard.min() >= 0
