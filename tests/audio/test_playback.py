"""Playback: silence at once, nothing stale, and the truth about what was heard."""

import asyncio
import threading
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.audio.playback import SOUNDS, Playback, PlaybackCounts, Reports
from appliance.audio.replyring import FADE
from appliance.units import Epoch, Pcm, Seconds
from tests.audio.speaker import RATE, TimedSpeaker
from tests.audio.tones import tone
from tests.clock import run_real, run_virtual

OLD, NEW = Epoch(1), Epoch(2)
EXACT = 1e-6


def level(count: int, value: int = 10_000) -> Pcm:
    return np.full(count, value, np.int16)


def pull(playback: Playback, frames: int = 240) -> Pcm:
    return playback.pull(frames, Seconds(0.0))


@dataclass
class Told:
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
    playback = Playback()
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


def test_after_a_flush_comes_a_fade_and_not_one_sample_of_the_old_reply():
    async def main():
        for phase in range(100):
            await flushed_at(phase)

    run_virtual(main)


def click_db(samples: Pcm, cut: int) -> float:
    """Energy above 3 kHz round a sample, over the energy of the tone before it."""
    window = samples[cut - 512 : cut + 512] * np.hanning(1024)
    spectrum = np.abs(np.fft.rfft(window)) ** 2
    before = np.abs(np.fft.rfft(samples[cut - 1536 : cut - 512] * np.hanning(1024))) ** 2
    return float(10 * np.log10(float(spectrum[1024 * 3_000 // RATE :].sum()) / float(before.sum())))


def test_the_fade_does_not_click():
    async def main():
        for phase in (3, 7, 13, 21, 40):
            playback = Playback()
            await playback.write(OLD, tone(RATE, 1.0))
            before = np.concatenate([pull(playback) for _ in range(20)] + [pull(playback, phase)])
            playback.flush()
            faded = np.concatenate([before, *[pull(playback) for _ in range(20)]])
            hard = np.concatenate([before, np.zeros(4_800, np.int16)])
            assert click_db(faded, len(before) + FADE // 2) < min(-80, click_db(hard, len(before)) - 45)

    run_virtual(main)


def test_silence_comes_within_a_period_a_fade_and_the_device_buffer():
    async def main():
        told, speaker = Told(), TimedSpeaker(frames=240, latency_s=0.03)
        playback = Playback(told.reports())
        async with running(playback, speaker):
            await playback.write(OLD, level(RATE))
            await asyncio.sleep(0.2037)
            flushed_at = asyncio.get_running_loop().time()
            playback.flush()
            await asyncio.sleep(0.5)
        [(silent_at, told_at)] = told.silent
        last = int(np.flatnonzero(speaker.heard)[-1])
        assert speaker.at(last) <= silent_at <= speaker.at(last) + 0.0002
        assert 0 < silent_at - flushed_at <= 0.01 + 0.03 + 0.003
        assert told_at == pytest.approx(silent_at, abs=EXACT)

    run_virtual(main)


def test_flushes_without_anything_playing_are_silent_and_harmless():
    async def main():
        playback = Playback()
        for _ in range(3):
            playback.flush()
        assert not pull(playback).any()
        await playback.write(NEW, level(5_000))
        assert np.all(pull(playback)[FADE:] == 10_000)
        assert playback.counts == PlaybackCounts(
            played=240, dropped=0, underruns=0, flushes=3, sounds_dropped=0, unaccounted=0
        )

    run_virtual(main)


# What may be played.


def test_a_reply_is_played_sample_by_sample():
    async def main():
        speaker, reply = TimedSpeaker(frames=100), tone(RATE, 1.0)
        playback = Playback()
        async with running(playback, speaker):
            for at in range(0, len(reply), 777):
                await playback.write(OLD, reply[at : at + 777].astype("<i2").tobytes())
            playback.finish(OLD)
            await asyncio.sleep(1.5)
        heard = speaker.heard
        begin = int(np.flatnonzero(heard)[0]) - 1  # the tone begins with a zero
        assert np.array_equal(heard[begin : begin + len(reply)], reply)
        assert not heard[begin + len(reply) :].any()

    run_virtual(main)


def test_audio_of_older_flushed_and_finished_replies_is_dropped_and_counted():
    async def main():
        playback = Playback()
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

    run_virtual(main)


def test_a_reply_starts_with_its_prebuffer_or_its_end():
    async def main():
        playback = Playback(prebuffer_s=0.06)
        await playback.write(OLD, level(1_439))
        assert not pull(playback).any()
        await playback.write(OLD, level(1))
        assert np.all(pull(playback) == 10_000)
        playback.flush()
        await playback.write(NEW, level(50))
        pull(playback)
        assert not pull(playback).any()
        playback.finish(NEW)
        assert pull(playback).any()

    run_virtual(main)


def test_a_full_ring_makes_the_writer_wait_until_there_is_room():
    async def main():
        speaker, reply = TimedSpeaker(), tone(RATE, 12.0)
        playback = Playback(ring_s=5.0)
        begun_at = asyncio.get_running_loop().time()
        async with running(playback, speaker):
            await playback.write(OLD, reply)
            waited_s = asyncio.get_running_loop().time() - begun_at
            playback.finish(OLD)
            await asyncio.sleep(6)
        assert waited_s == pytest.approx(7.0, abs=1.3)
        assert playback.counts == PlaybackCounts(
            played=len(reply), dropped=0, underruns=0, flushes=0, sounds_dropped=0, unaccounted=0
        )

    run_virtual(main)


def test_a_flush_releases_a_writer_that_waits_and_drops_the_rest():
    async def main():
        playback = Playback(ring_s=5.0)
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

    run_virtual(main)


# What was heard.


@settings(deadline=None, max_examples=25)
@given(
    st.lists(st.integers(1_500, 6_000), min_size=1, max_size=12),
    st.lists(st.floats(0.0, 0.3), min_size=1, max_size=12),
    st.integers(100, 700),
    st.floats(0.0, 0.2),
)
def test_the_heard_position_is_exact(chunks, pauses, frames, latency_s):
    async def main():
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

    run_virtual(main)


def test_a_flush_tells_what_was_heard_and_the_fade_adds_to_it():
    async def main():
        loop = asyncio.get_running_loop()
        speaker, playback = TimedSpeaker(frames=240, latency_s=0.05), Playback()
        async with running(playback, speaker):
            await playback.write(OLD, level(RATE))
            await asyncio.sleep(0.3)
            flushed_at = loop.time()
            heard = playback.flush()
            await asyncio.sleep(0.5)
            final = playback.heard(OLD, Seconds(loop.time()))
        first = int(np.flatnonzero(speaker.heard)[0])
        assert heard.epoch == OLD
        assert heard.received == RATE
        assert heard.samples == round((flushed_at - speaker.at(first)) * RATE)
        assert final == np.count_nonzero(speaker.heard) + 1
        assert final - heard.samples <= 240 + 0.05 * RATE + FADE

    run_virtual(main)


def test_a_flush_of_nothing_tells_of_no_reply():
    async def main():
        heard = Playback().flush()
        assert (heard.epoch, heard.samples, heard.received) == (0, 0, 0)

    run_virtual(main)


# What is reported.


def test_a_reply_is_audible_once_and_drained_once_when_its_last_sample_was_heard():
    async def main():
        told, speaker = Told(), TimedSpeaker(latency_s=0.08)
        playback = Playback(told.reports())
        async with running(playback, speaker):
            await playback.write(OLD, level(5_000))
            await playback.write(OLD, level(5_001))
            await asyncio.sleep(0.1)
            playback.finish(OLD)
            playback.finish(OLD)
            await asyncio.sleep(2)
        first, last = np.flatnonzero(speaker.heard)[[0, -1]]
        assert told.audible == [
            (OLD, pytest.approx(speaker.at(first), abs=EXACT), pytest.approx(speaker.at(first), abs=EXACT))
        ]
        assert told.drained == [(OLD, pytest.approx(speaker.at(last + 1), abs=EXACT))]
        assert not told.stalled

    run_virtual(main)


def test_a_late_end_is_drained_at_once():
    async def main():
        told = Told()
        playback = Playback(told.reports())
        async with running(playback, TimedSpeaker()):
            await playback.write(OLD, level(RATE))
            await asyncio.sleep(3)
            assert not told.drained
            playback.finish(OLD)
            await asyncio.sleep(0.2)
        assert [epoch for epoch, _ in told.drained] == [OLD]

    run_virtual(main)


def test_a_reply_without_audio_is_drained_at_once_and_holds_nobody_up():
    async def main():
        told = Told()
        playback = Playback(told.reports())
        async with running(playback, TimedSpeaker()):
            playback.finish(OLD)
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            assert [epoch for epoch, _ in told.drained] == [OLD]
            await playback.write(NEW, level(3_000))
            playback.finish(NEW)
            await asyncio.sleep(1)
        assert [epoch for epoch, _ in told.drained] == [OLD, NEW]
        assert [epoch for epoch, *_ in told.audible] == [NEW]

    run_virtual(main)


def test_two_replies_in_the_ring_are_drained_one_after_the_other():
    async def main():
        told, speaker = Told(), TimedSpeaker()
        playback = Playback(told.reports())
        async with running(playback, speaker):
            await playback.write(OLD, level(5_000))
            await playback.write(NEW, level(4_000, -5_000))
            playback.finish(NEW)
            await asyncio.sleep(1)
        ends = [np.flatnonzero(speaker.heard == value)[-1] + 1 for value in (10_000, -5_000)]
        assert told.drained == [
            (OLD, pytest.approx(speaker.at(ends[0]), abs=EXACT)),
            (NEW, pytest.approx(speaker.at(ends[1]), abs=EXACT)),
        ]

    run_virtual(main)


def test_a_flushed_reply_is_never_drained():
    async def main():
        told = Told()
        playback = Playback(told.reports())
        async with running(playback, TimedSpeaker(latency_s=0.2)):
            await playback.write(OLD, level(4_800))
            playback.finish(OLD)
            await asyncio.sleep(0.25)  # all of it is in the device buffer
            playback.flush()
            await asyncio.sleep(5)
        assert not told.drained
        assert [epoch for epoch, *_ in told.audible] == [OLD]

    run_virtual(main)


def test_a_reply_that_breaks_off_is_reported_once_until_more_comes():
    async def main():
        told = Told()
        playback = Playback(told.reports(), stall_s=2.0)
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
        first, second = told.stalled
        assert first == (OLD, pytest.approx(begun_at + 1.0 + 0.05 + 2.0, abs=0.02))
        assert second == (OLD, pytest.approx(begun_at + 20 + 2.0, abs=0.02))
        assert playback.counts.underruns == 1
        assert [epoch for epoch, _ in told.drained] == [OLD]

    run_virtual(main)


def test_an_underrun_counts_only_in_the_middle_of_a_reply():
    async def main():
        playback = Playback()
        async with running(playback, TimedSpeaker()):
            await playback.write(OLD, level(RATE // 2))
            await asyncio.sleep(1)
            assert playback.counts.underruns == 1
            await playback.write(OLD, level(RATE // 2))
            playback.finish(OLD)
            await asyncio.sleep(1)
        assert playback.counts.underruns == 1

    run_virtual(main)


def test_nobody_is_woken_while_nothing_plays():
    async def main():
        async with running(Playback(), TimedSpeaker()):
            await asyncio.sleep(1)
        async with running(Playback()):
            await asyncio.Event().wait()

    with pytest.raises(RuntimeError, match="no timer is set"):
        run_virtual(main)


# Sounds and volume.


def test_sounds_are_played_one_after_the_other_over_a_reply_and_clip():
    async def main():
        playback = Playback()
        playback.play(level(100, 5))
        playback.play(level(300, 30_000))
        assert pull(playback).tolist() == [5] * 100 + [0] * 140
        await playback.write(OLD, level(RATE))
        assert pull(playback).tolist() == [32_767] * 240
        assert pull(playback).tolist() == [32_767] * 60 + [10_000] * 180

    run_virtual(main)


def test_a_sound_too_many_is_dropped_and_counted():
    playback = Playback()
    for _ in range(SOUNDS + 2):
        playback.play(level(10))
    assert playback.counts.sounds_dropped == 2


def test_a_flush_stops_sounds_with_a_fade_and_keeps_those_that_follow_it():
    playback = Playback()
    playback.play(level(1_000))
    playback.play(level(1_000))
    pull(playback)

    async def main():
        playback.flush()

    run_virtual(main)
    playback.play(level(100, -7))
    fading = pull(playback, 50).astype(int).tolist() + pull(playback).astype(int).tolist()
    assert np.all(np.diff(fading) <= 0)
    assert fading[0] > 9_900
    assert not any(fading[FADE:])
    assert pull(playback).tolist() == [-7] * 100 + [0] * 140


def test_a_change_of_volume_is_a_ramp_of_one_period():
    async def main():
        playback = Playback(volume=0.5)
        await playback.write(OLD, level(RATE))
        assert np.all(pull(playback) == 5_000)
        playback.set_volume(0.25)
        ramp = pull(playback).astype(int)
        assert (ramp[0], ramp[-1]) == (5_000, 2_500)
        assert np.all(np.diff(ramp) <= 0)
        assert np.all(pull(playback) == 2_500)

    run_virtual(main)


# Two threads.


@dataclass
class Puller:
    """Pulls on a thread of its own, and notes for each period which reply had been flushed before it."""

    playback: Playback
    flushed: int = 0
    stop: bool = False
    periods: list[tuple[int, Pcm]] = field(default_factory=list)

    def run(self) -> None:
        while not self.stop:
            flushed = self.flushed
            self.periods.append((flushed, self.playback.pull(240, Seconds(time.monotonic()))))
            time.sleep(0.001)


@pytest.mark.realtime
def test_flushes_under_fire_let_nothing_stale_through():
    async def main():
        random = np.random.default_rng(1)
        playback = Playback(ring_s=5.0)
        puller = Puller(playback)
        thread = threading.Thread(target=puller.run)
        async with running(playback):
            thread.start()
            for epoch in range(1, 61):
                for _ in range(random.integers(1, 5)):
                    await playback.write(Epoch(epoch), level(RATE // 4, 10_000 + 1_000 * (epoch % 8)))
                await asyncio.sleep(random.uniform(0.0, 0.02))
                playback.flush()
                puller.flushed = epoch
            puller.stop = True
            await asyncio.to_thread(thread.join)
            assert playback.counts.unaccounted == 0
        for flushed, period in puller.periods:
            same = (np.diff(period[1:]) == 0) & (np.diff(period[:-1]) == 0) & (period[1:-1] != 0)
            for value in np.unique(period[1:-1][same]):  # where no fade is
                epoch = (int(value) - 10_000) // 1_000
                assert (epoch - flushed) % 8 in range(1, 6)
        assert sum(period.any() for _, period in puller.periods) > 60

    run_real(main)
