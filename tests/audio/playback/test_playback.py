"""Playback: silence at once, and nothing stale."""

import asyncio

import numpy as np
import pytest

from appliance.audio.playback.playback import Playback
from appliance.audio.playback.reports import PlaybackCounts
from appliance.units import Epoch, Pcm
from tests.audio.playback.harness import EXACT, FADE, NEW, OLD, ReportLog, level, pull, running
from tests.audio.tones import tone
from tests.support.speaker import RATE, Plugged, TimedSpeaker


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
