"""Playback: silence at once, nothing stale, and the truth about what was heard."""

import asyncio
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.audio.playback.fade import Fade
from appliance.audio.playback.playback import Playback, PlaybackCounts, Reports
from appliance.units import REPLY, Epoch, Pcm, Seconds
from tests.audio.tones import tone
from tests.clock import run_virtual
from tests.support.speaker import RATE, Plugged, TimedSpeaker

OLD, NEW = Epoch(1), Epoch(2)
FADE = Fade(REPLY.rate_hz).length
EXACT = 1e-6


def level(count: int, value: int = 10_000) -> Pcm:
    return np.full(count, value, np.int16)


def pull(playback: Plugged, frames: int = 240) -> Pcm:
    return playback.pull(frames, Seconds(0.0))


@dataclass
class ReportLog:
    """Everything that was reported, with the moment of the report."""

    audible: list[tuple[Any, ...]] = field(default_factory=list)
    drained: list[tuple[Any, ...]] = field(default_factory=list)
    stalled: list[tuple[Any, ...]] = field(default_factory=list)
    silent: list[tuple[Any, ...]] = field(default_factory=list)

    def reports(self) -> Reports:
        now = asyncio.get_running_loop().time
        return Reports(
            on_audible=lambda epoch, at: self.audible.append((epoch, at, now())),
            on_drained=lambda epoch: self.drained.append((epoch, now())),
            on_stalled=lambda epoch: self.stalled.append((epoch, now())),
            on_silent=lambda at: self.silent.append((at, now())),
        )


@asynccontextmanager
async def running(playback: Playback, speaker: TimedSpeaker | None = None):
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(playback.run())]
        if speaker is not None:
            tasks.append(group.create_task(speaker.run(playback)))
        await asyncio.sleep(0)
        yield
        for task in tasks:
            task.cancel()


# Silence at once.


async def flushed_at(phase: int) -> None:
    random = np.random.default_rng(phase)
    frames = int(random.integers(16, 1_000))
    playback = Plugged()
    await playback.write(OLD, level(RATE * 2))
    for _ in range(random.integers(1, 20)):
        assert pull(playback, frames).any()
    playback.flush()
    await playback.write(OLD, level(500))
    await playback.write(NEW, level(RATE, -8_000))
    playback.finish(NEW)
    after = np.concatenate([pull(playback, frames) for _ in range(RATE * 2 // frames)]).astype(int)
    fading, rest = after[:FADE], after[FADE:]
    assert np.all(np.diff(fading) <= 0)
    assert fading[0] > 9_900
    assert rest.max() <= 0
    begin = np.flatnonzero(rest)[0]
    assert np.all(np.diff(rest[begin : begin + FADE]) <= 0)
    assert np.all(rest[begin + FADE : begin + RATE - 1] == -8_000)
    assert np.count_nonzero(rest) == pytest.approx(RATE, abs=2)


async def test_after_a_flush_comes_a_fade_and_not_one_sample_of_the_old_reply():
    for phase in range(100):
        await flushed_at(phase)


def click_db(samples: Pcm, cut: int) -> float:
    """Energy above 3 kHz round a sample, over the energy of the tone before it."""
    window = samples[cut - 512 : cut + 512] * np.hanning(1024)
    spectrum = np.abs(np.fft.rfft(window)) ** 2
    before = np.abs(np.fft.rfft(samples[cut - 1536 : cut - 512] * np.hanning(1024))) ** 2
    return float(10 * np.log10(float(spectrum[1024 * 3_000 // RATE :].sum()) / float(before.sum())))


async def test_the_fade_does_not_click():
    for phase in (3, 7, 13, 21, 40):
        playback = Plugged()
        await playback.write(OLD, tone(RATE, 1.0))
        before = np.concatenate([pull(playback) for _ in range(20)] + [pull(playback, phase)])
        playback.flush()
        faded = np.concatenate([before, *[pull(playback) for _ in range(20)]])
        hard = np.concatenate([before, np.zeros(4_800, np.int16)])
        assert click_db(faded, len(before) + FADE // 2) < min(-80, click_db(hard, len(before)) - 45)


async def test_silence_comes_within_a_period_a_fade_and_the_device_buffer():
    log, speaker = ReportLog(), TimedSpeaker(frames=240, latency_s=0.03)
    playback = Playback(log.reports())
    async with running(playback, speaker):
        await playback.write(OLD, level(RATE))
        await asyncio.sleep(0.2037)
        flushed_at = asyncio.get_running_loop().time()
        playback.flush()
        await asyncio.sleep(0.5)
    [(silent_at, told_at)] = log.silent
    last = int(np.flatnonzero(speaker.heard)[-1])
    assert speaker.at(last) <= silent_at <= speaker.at(last) + 0.0002
    assert 0 < silent_at - flushed_at <= 0.01 + 0.03 + 0.003
    assert told_at == pytest.approx(silent_at, abs=EXACT)


async def test_flushes_without_anything_playing_are_silent_and_harmless():
    playback = Plugged()
    for _ in range(3):
        playback.flush()
    assert not pull(playback).any()
    await playback.write(NEW, level(5_000))
    assert np.all(pull(playback)[FADE:] == 10_000)
    assert playback.counts == PlaybackCounts(
        played=240, dropped=0, underruns=0, flushes=3, waits=0, sounds_dropped=0, resumed=0
    )


# What may be played.


async def test_a_reply_is_played_sample_by_sample():
    log, speaker, reply = ReportLog(), TimedSpeaker(frames=100), tone(RATE, 1.0)
    playback = Playback(log.reports())
    async with running(playback, speaker):
        for at in range(0, len(reply), 777):
            await playback.write(OLD, reply[at : at + 777].astype("<i2").tobytes())
        playback.finish(OLD)
        await asyncio.sleep(1.5)
    heard = speaker.heard
    begin = int(speaker.sample_of(log.audible[0][1]))
    assert np.array_equal(heard[begin + FADE : begin + len(reply)], reply[FADE:])  # the first begins with a fade
    assert not heard[begin + len(reply) :].any()


async def test_audio_of_older_flushed_and_finished_replies_is_dropped_and_counted():
    playback = Plugged()
    await playback.write(Epoch(5), level(100))
    await playback.write(Epoch(4), level(10))
    playback.flush()
    await playback.write(Epoch(5), level(20))
    await playback.write(Epoch(6), level(100))
    playback.finish(Epoch(6))
    await playback.write(Epoch(6), level(40))
    playback.finish(Epoch(5))
    assert playback.counts.dropped == 70
    assert not pull(playback).any()  # sees the flush
    assert np.count_nonzero(pull(playback, 1_000)) == 99  # the fade-in begins with a zero


async def test_a_reply_starts_with_its_prebuffer_or_its_end():
    playback = Plugged(prebuffer_s=0.06)
    await playback.write(OLD, level(1_439))
    assert not pull(playback).any()
    await playback.write(OLD, level(1))
    assert np.all(pull(playback)[FADE:] == 10_000)
    playback.flush()
    await playback.write(NEW, level(50))
    pull(playback)
    assert not pull(playback).any()
    playback.finish(NEW)
    assert pull(playback).any()


async def test_a_full_ring_makes_the_writer_wait_until_there_is_room():
    speaker, reply = TimedSpeaker(), tone(RATE, 12.0)
    playback = Playback(ring_s=5.0)
    begun_at = asyncio.get_running_loop().time()
    async with running(playback, speaker):
        await playback.write(OLD, reply)
        waited_s = asyncio.get_running_loop().time() - begun_at
        playback.finish(OLD)
        await asyncio.sleep(6)
    assert waited_s == pytest.approx(7.0, abs=1.3)
    assert (playback.counts.played, playback.counts.dropped) == (len(reply), 0)
    assert playback.counts.waits > 0


async def test_a_flush_releases_a_writer_that_waits_and_drops_the_rest():
    playback = Plugged(ring_s=5.0)
    async with asyncio.TaskGroup() as group:
        writer = group.create_task(playback.write(OLD, level(RATE * 8)))
        await asyncio.sleep(1)
        assert not writer.done()
        playback.flush()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert writer.done()
    assert playback.counts.dropped == RATE * 3
    pull(playback)
    await playback.write(NEW, level(RATE * 5))


# What was heard.


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


# What is reported.


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


# A speaker that is lost.


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
