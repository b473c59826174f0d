"""Blocks to the engine and detections back, at once and by way of the thread."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace

import numpy as np
import pytest

from appliance.audio.echo.recently_played import RecentlyPlayed
from appliance.audio.ports import Block
from appliance.errors import LocalModelError
from appliance.units import REPLY, Pcm, SampleIndex, Seconds
from appliance.wake.ports import Detection, Score
from appliance.wake.runner import OWN_VOICE_S, QUEUE_SAMPLES, WakeWordRunner
from appliance.wake.scripted import ScriptedEngine
from tests.wake.sounds import silence

PERIOD = 320


def block(number: int) -> Block:
    return Block(SampleIndex(number * PERIOD), silence(0.02), Seconds(1000 + number * 0.02))


class BrokenEngine:
    """Fails at the first block."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def feed(self, start: SampleIndex, samples: Pcm) -> tuple[list[Detection], list[Score]]:
        raise self._error

    def contains(self, recording: Pcm) -> bool:
        raise self._error


class HeldEngine:
    """Waits at the first block until it is let go; knows where blocks began and on which threads."""

    def __init__(self) -> None:
        self.busy = threading.Event()
        self.go_on = threading.Event()
        self.starts: list[int] = []
        self.threads: set[int] = set()

    def feed(self, start: SampleIndex, samples: Pcm) -> tuple[list[Detection], list[Score]]:
        self.busy.set()
        assert self.go_on.wait(30)
        self.starts.append(start)
        self.threads.add(threading.get_ident())
        return [], [Score("held", SampleIndex(start + len(samples)), 0.0)]

    def contains(self, recording: Pcm) -> bool:
        raise AssertionError


class DoubtfulEngine(ScriptedEngine):
    """Finds its word in every loud recording; keeps them, and knows the threads that asked."""

    def __init__(self, words: Iterable[int]) -> None:
        super().__init__(words)
        self.searched: list[Pcm] = []
        self.threads: set[int] = set()

    def contains(self, recording: Pcm) -> bool:
        self.searched.append(recording)
        self.threads.add(threading.get_ident())
        return bool(np.abs(recording).max() > 5_000)


async def while_running(runner: WakeWordRunner, body: Callable[[], Awaitable[None]]) -> None:
    """Run it for as long as ``body`` takes."""
    async with asyncio.TaskGroup() as group:
        running = group.create_task(runner.run())
        await body()
        running.cancel()


async def test_without_a_thread_a_detection_is_delivered_before_feed_returns():
    heard: list[Detection] = []

    runner = WakeWordRunner(ScriptedEngine([400]), heard.append, run_in_thread=False)

    async def body():
        runner.feed(block(0))
        assert heard == []
        runner.feed(block(1))
        assert [detection.end_sample for detection in heard] == [400]

    await while_running(runner, body)


async def test_the_engine_is_fed_with_the_stream_that_is_meant_for_it():
    class Engine(HeldEngine):
        fed: Pcm

        def feed(self, start: SampleIndex, samples: Pcm) -> tuple[list[Detection], list[Score]]:
            self.fed = samples
            return [], []

    engine = Engine()
    runner = WakeWordRunner(engine, lambda _: None, run_in_thread=False)
    linear = np.ones(PERIOD, np.int16)

    async def body():
        runner.feed(replace(block(0), linear=linear))

    await while_running(runner, body)
    assert engine.fed is linear


async def test_scores_are_delivered_hop_by_hop_and_before_their_detection():
    calls: list[object] = []

    runner = WakeWordRunner(ScriptedEngine([1_270]), calls.append, calls.append, run_in_thread=False)

    async def body():
        for number in range(8):
            runner.feed(block(number))

    await while_running(runner, body)
    assert calls == [
        [Score("scripted", SampleIndex(1_280), 1.0)],
        Detection("scripted", SampleIndex(1_270), 1.0),
        [Score("scripted", SampleIndex(2_560), 0.0)],
    ]


async def test_after_the_end_nothing_is_delivered():
    heard: list[Detection] = []

    runner = WakeWordRunner(ScriptedEngine([100]), heard.append, run_in_thread=False)

    async def body():
        await asyncio.sleep(1)

    await while_running(runner, body)
    runner.feed(block(0))
    assert heard == []


async def test_without_a_thread_a_failed_engine_ends_the_run_and_spares_the_microphone():
    runner = WakeWordRunner(BrokenEngine(ZeroDivisionError("oops")), lambda _: None, run_in_thread=False)

    async def capture() -> None:
        runner.feed(block(0))
        runner.feed(block(1))

    with pytest.raises(LocalModelError, match=r"^the wake-word engine failed: ZeroDivisionError\('oops'\)$") as raised:
        await asyncio.gather(runner.run(), capture())
    assert isinstance(raised.value.__cause__, ZeroDivisionError)


@pytest.mark.realtime
async def test_a_detection_of_the_thread_is_delivered_on_the_loop():
    heard: list[tuple[SampleIndex, int]] = []

    delivered = asyncio.Event()

    def on_detection(detection: Detection) -> None:
        heard.append((detection.end_sample, threading.get_ident()))
        delivered.set()

    runner = WakeWordRunner(ScriptedEngine([5_000]), on_detection)

    async def body():
        for number in range(20):
            runner.feed(block(number))
        async with asyncio.timeout(30):
            await delivered.wait()

    await while_running(runner, body)
    assert runner.dropped_samples == 0
    assert heard == [(5_000, threading.get_ident())]


@pytest.mark.realtime
async def test_blocks_wait_for_the_thread_in_order_and_the_oldest_go_when_there_are_too_many(caplog):
    caplog.set_level("WARNING")
    engine = HeldEngine()
    fit = QUEUE_SAMPLES // PERIOD

    scores: list[Score] = []
    done = asyncio.Event()

    def on_scores(new: list[Score]) -> None:
        scores.extend(new)
        if scores[-1].end_sample == (fit + 4) * PERIOD:
            done.set()

    runner = WakeWordRunner(engine, lambda _: None, on_scores)

    async def body():
        runner.feed(block(0))
        async with asyncio.timeout(30):
            await asyncio.to_thread(engine.busy.wait)
        for number in range(1, fit + 4):
            runner.feed(block(number))
        assert runner.dropped_samples == 3 * PERIOD
        assert [record.fields["dropped_samples"] for record in caplog.records] == [str(PERIOD)]
        engine.go_on.set()
        async with asyncio.timeout(30):
            await done.wait()

    await while_running(runner, body)
    assert engine.starts == [0, *range(4 * PERIOD, (fit + 4) * PERIOD, PERIOD)]
    assert len(engine.threads) == 1
    assert threading.get_ident() not in engine.threads


@pytest.mark.realtime
async def test_a_result_that_the_thread_has_too_late_is_not_delivered():
    engine = HeldEngine()
    calls: list[object] = []

    runner = WakeWordRunner(engine, calls.append, calls.append)
    async with asyncio.TaskGroup() as group:
        running = group.create_task(runner.run())
        runner.feed(block(0))
        async with asyncio.timeout(30):
            await asyncio.to_thread(engine.busy.wait)
        running.cancel()
        engine.go_on.set()
    await asyncio.sleep(0)
    assert calls == []
    assert engine.starts


@pytest.mark.realtime
async def test_a_failed_engine_ends_the_run_from_its_thread():
    runner = WakeWordRunner(BrokenEngine(LocalModelError("the graph is gone")), lambda _: None)
    runner.feed(block(0))
    async with asyncio.timeout(30):
        with pytest.raises(LocalModelError, match=r"^the graph is gone$"):
            await runner.run()
    runner.feed(block(1))
    assert runner.dropped_samples == 0


def replies(begin: float, seconds: float = 2.0, level: int = 10_000) -> RecentlyPlayed:
    """Return what was played: one reply. Samples begin at 999.98."""
    played = RecentlyPlayed()
    played.played(Seconds(begin), np.full(REPLY.frames(seconds), level, np.int16))
    return played


@pytest.mark.parametrize(
    ("played", "ignored"),
    [(replies(998.5), True), (replies(998.5, level=100), False), (replies(996.0, 1.0), False), (replies(1001), False)],
    ids=["says the word", "says other words", "over", "later"],
)
@pytest.mark.parametrize("in_thread", [False, pytest.param(True, marks=pytest.mark.realtime)])
async def test_a_word_that_the_appliance_has_said_itself_is_not_delivered(played, ignored, in_thread, caplog):
    caplog.set_level("INFO")
    heard: list[Detection] = []
    decided = asyncio.Event()
    engine = DoubtfulEngine([100])
    runner = WakeWordRunner(engine, heard.append, lambda _: decided.set(), played, run_in_thread=in_thread)

    async def body():
        for number in range(5):
            runner.feed(block(number))
        async with asyncio.timeout(30):
            await decided.wait()

    await while_running(runner, body)
    assert [detection.end_sample for detection in heard] == ([] if ignored else [100])
    assert [record.fields["reason"] for record in caplog.records] == (["own-voice"] if ignored else [])
    assert not in_thread or threading.get_ident() not in engine.threads


async def test_what_is_searched_ends_with_the_word_and_has_the_rate_of_the_microphone():
    engine = DoubtfulEngine([100, 420])
    runner = WakeWordRunner(engine, lambda _: None, played=replies(1000 - 0.02 + 100 / 16_000), run_in_thread=False)

    async def body():
        runner.feed(block(0))
        assert engine.searched == [], "nothing was played until the word ended"
        runner.feed(block(1))

    await while_running(runner, body)
    (searched,) = engine.searched
    assert len(searched) == pytest.approx(OWN_VOICE_S * 16_000, abs=2)
    assert np.flatnonzero(np.abs(searched) > 5_000)[0] == pytest.approx(len(searched) - 320, abs=3)


@pytest.mark.parametrize("run_in_thread", [False, pytest.param(True, marks=pytest.mark.realtime)])
async def test_a_search_that_fails_ends_the_run(run_in_thread):
    class Engine(DoubtfulEngine):
        def contains(self, recording: Pcm) -> bool:
            raise ZeroDivisionError

    runner = WakeWordRunner(Engine([100]), lambda _: None, played=replies(999), run_in_thread=run_in_thread)

    async def capture() -> None:
        runner.feed(block(0))

    with pytest.raises(LocalModelError, match="ZeroDivisionError"):
        await asyncio.gather(runner.run(), capture())
