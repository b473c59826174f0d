"""``scripts/bench audio``: the audio engine on the virtual card, with a plain queue in the same run."""

import asyncio
import logging
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Final, Self

import numpy as np

from appliance.audio.worker.messages import WorkerConfig
from appliance.audio.worker.supervisor import WorkerSupervisor
from appliance.units import Epoch, Pcm, Seconds
from appliance.virtual_card.card import RING, Fault, VirtualCard
from tests.benchmarks.figures import Figure, compared
from tests.support.audio_engine import House, household

Say = Callable[[str], None]

RATE: Final = 24_000
TRIALS: Final = 40
LOOP_S: Final = 60.0
LOAD_S: Final = 20.0
FAULTS: Final = (Fault.GONE, Fault.DISCONNECTED)
"""Those after which a card is gone; one whose clock stands still is there, and not to be told from one that is slow."""


def measure(say: Say) -> list[Figure]:
    """Measure everything; takes about four minutes."""
    with _card() as card:
        say("how a plain queue with asyncio.to_thread plays and records")
        seed_flush_ms, seed_lost = _seed_flush(card), _seed_lost(card)
        say("interruptions")
        flush_10 = asyncio.run(_flush(card, 10))
        flush_5 = asyncio.run(_flush(card, 5))
        say(f"{LOOP_S:.0f} s in both directions, every sample compared")
        loop = asyncio.run(_loop(card, LOOP_S))
        idle_percent = _idle_percent(card, LOAD_S)
        say(f"{LOAD_S:.0f} s with both cores and the interpreter of the daemon kept busy")
        with _load():
            loaded = asyncio.run(_loop(card, LOAD_S))
            seed_loaded = _seed_lost(card)
        say("cards that are lost and come back")
        losses = asyncio.run(_losses(card))
    p95 = f"{np.percentile(seed_flush_ms, 95):.0f}"
    reference = ("to_thread(write), 40 ms chunks", float(p95))
    return [
        compared("flush_10ms_p95_ms", _p(flush_10.flush_ms, 95), "ms", "<= 35", reference),
        compared("flush_5ms_p95_ms", _p(flush_5.flush_ms, 95), "ms", "<= 20", reference),
        Figure("old_samples_after_flush", flush_10.stale + flush_5.stale, "", "= 0"),
        Figure("enqueue_to_audible_p95_ms", _p(flush_10.enqueue_ms, 95), "ms", "<= 10"),
        Figure("mic_to_daemon_p99_ms", max(0.0, _p(loop.mic_ms, 99) - 20), "ms", "<= 5"),
        Figure("heard_error_ms", max(flush_10.heard_error_ms), "ms", "<= 1"),
        Figure("drain_error_ms", max(loop.drain_error_ms, *flush_10.drain_error_ms), "ms", "<= 5"),
        compared("samples_lost", loop.lost, "", "= 0", ("to_thread(read), 10 s", seed_lost)),
        compared("samples_lost_under_load", loaded.lost, "", "= 0", ("to_thread(read), 10 s", seed_loaded)),
        Figure("loss_noticed_ms", max(losses.noticed_ms), "ms", "<= 250"),
        Figure("replug_ms", max(losses.back_ms), "ms", "<= 1000"),
        compared("worker_cpu_percent", loop.cpu_percent, "%", "<= 3", ("callbacks that do nothing", idle_percent)),
        Figure("worker_rss_mb", loop.rss_mb, "MB", "<= 60"),
        Figure("log_lines_per_s", losses.lines_per_s, "", "<= 10"),
    ]


def _p(values: list[float], percent: float) -> float:
    return float(np.percentile(values, percent))


@contextmanager
def _card() -> Iterator[VirtualCard]:
    with tempfile.TemporaryDirectory() as folder:
        card = VirtualCard(Path(folder))
        os.environ.update(card.environment)
        try:
            yield card
        finally:
            card.close()


# A plain queue with asyncio.to_thread


def _seed_flush(card: VirtualCard) -> list[float]:
    """Return how long it goes on after its queue was emptied, in ms."""
    taken = []
    command = [sys.executable, "-m", "tests.benchmarks.seed", "play"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as seed:
        if seed.stdin is None or seed.stdout is None:
            raise AssertionError
        for trial in range(TRIALS // 2):
            for order in ("play", "flush"):
                print(order, file=seed.stdin, flush=True)
                at = float(seed.stdout.readline())
                time.sleep(0.2 + 0.0137 * (trial % 7))
            time.sleep(0.8)
            taken.append(_last_sound(card, at) * 1000)
        seed.stdin.close()
        seed.kill()
    return taken


def _seed_lost(card: VirtualCard) -> int:
    del card  # it is found through the environment
    done = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks.seed", "record", "10"], capture_output=True, text=True, check=True
    )
    return int(done.stdout)


def _idle_percent(card: VirtualCard, seconds: float) -> float:
    """Return how much of a core callbacks take that do nothing."""
    del card  # it is found through the environment
    command = [sys.executable, "-m", "tests.benchmarks.seed", "nothing", str(seconds)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(done.stdout) / seconds * 100


def _last_sound(card: VirtualCard, since: float) -> float:
    """Return how long after a moment the speaker still made a sound, in seconds."""
    return max(0.0, card.speaker.time_of(_silent_from(card, since)) - since)


def _silent_from(card: VirtualCard, since: float) -> int:
    """Return the frame after the last sound since a moment."""
    start = card.speaker.frame(since)
    loud = np.flatnonzero(card.speaker.played(start, card.speaker.now))
    return start + int(loud[-1]) + 1 if len(loud) else start


# Interruptions


class _Flushes:
    """Figures of interruptions."""

    def __init__(self) -> None:
        self.flush_ms: list[float] = []
        self.enqueue_ms: list[float] = []
        self.heard_error_ms: list[float] = []
        self.drain_error_ms: list[float] = []
        self.stale = 0


async def _flush(card: VirtualCard, period_ms: int) -> _Flushes:
    found = _Flushes()
    random = np.random.default_rng(period_ms)
    async with household(WorkerSupervisor(WorkerConfig("virtual_mic", "virtual_speaker", period_ms))) as house:
        await house.hearing()
        await asyncio.sleep(1)
        for trial in range(TRIALS):
            old, new = Epoch(2 * trial + 1), Epoch(2 * trial + 2)
            written_at = await _enqueue(card, house, old, found)
            await asyncio.sleep(random.uniform(0.2, 0.4))
            _ask(card, house, old, written_at, found)
            flushed_at = house.now
            house.playback.flush()
            await asyncio.sleep(0.25)
            found.flush_ms.append(_last_sound(card, flushed_at) * 1000)
            silent_from = _silent_from(card, flushed_at)
            await _drain(card, house, new, found)
            found.stale += int(np.count_nonzero(card.speaker.played(silent_from, card.speaker.now) > 0))
    return found


async def _enqueue(card: VirtualCard, house: House, epoch: Epoch, found: _Flushes) -> float:
    """Begin a reply, positive samples, and see when it sounds, beyond what the device buffers; return when it began."""
    written_at = house.now
    await house.playback.write(epoch, np.full(RATE * 2, 9_000, np.int16))
    await asyncio.sleep(0.15)
    start = card.speaker.frame(written_at)
    first = int(np.flatnonzero(card.speaker.played(start, card.speaker.now))[0])
    buffer_s = card.speaker.period_and_buffer[1] / RATE
    found.enqueue_ms.append((card.speaker.time_of(start + first) - written_at - buffer_s) * 1000)
    return written_at


def _ask(card: VirtualCard, house: House, epoch: Epoch, written_at: float, found: _Flushes) -> None:
    """Compare what is said to be heard with what the speaker has played; the first 3 ms may be a fade."""
    asked_at = house.now
    said = house.playback.heard(epoch, Seconds(asked_at))
    start = card.speaker.frame(written_at)
    true = int(np.count_nonzero(card.speaker.played(start, card.speaker.frame(asked_at))))
    found.heard_error_ms.append(abs(said - true) / RATE * 1000)


async def _drain(card: VirtualCard, house: House, epoch: Epoch, found: _Flushes) -> None:
    """Play a short reply, negative samples, to its end."""
    written_at = house.now
    await house.playback.write(epoch, np.full(4_800, -9_000, np.int16))
    house.playback.finish(epoch)
    await house.until(lambda: epoch in house.drained)
    found.drain_error_ms.append(abs(house.drained[epoch] - written_at - _last_sound(card, written_at)) * 1000)


# A minute in both directions


class _Loop:
    """Figures of playing and recording for a while."""

    def __init__(self) -> None:
        self.lost = 0
        self.mic_ms: list[float] = []
        self.cpu_percent = 0.0
        self.rss_mb = 0.0
        self.drain_error_ms = 0.0


async def _loop(card: VirtualCard, seconds: float) -> _Loop:
    found = _Loop()
    lap = np.random.default_rng(2).integers(1, 20_000, RING).astype(np.int16)
    card.microphone.fill(lap)
    reply = np.random.default_rng(3).integers(1, 20_000, int(seconds * RATE)).astype(np.int16)
    async with household() as house:
        await house.hearing()
        await asyncio.sleep(1)
        arrivals: list[float] = []
        begun_at, first, cpu_s = house.now, len(house.blocks), _cpu_s(house.engine.pid)
        async with asyncio.TaskGroup() as group:
            group.create_task(_say(house, reply))
            while house.now - begun_at < seconds:
                seen = len(house.blocks)
                await asyncio.sleep(0.001)
                arrivals.extend([house.now] * (len(house.blocks) - seen))
        found.cpu_percent = (_cpu_s(house.engine.pid) - cpu_s) / (house.now - begun_at) * 100
        found.rss_mb = _rss_mb(house.engine.pid)
        await house.until(lambda: house.drained)
        found.drain_error_ms = abs(house.drained[Epoch(1)] - begun_at - _last_sound(card, begun_at)) * 1000
        blocks = house.blocks[first : first + len(arrivals)]
        found.mic_ms = [(at - block.captured_at) * 1000 for at, block in zip(arrivals, blocks, strict=True)]
        recorded = np.concatenate([block.samples for block in blocks])
        frame = card.microphone.frame(blocks[0].captured_at) - len(blocks[0].samples)
        found.lost = _different(recorded, lap, frame) + _unplayed(card, begun_at, reply)
    return found


async def _say(house: House, reply: Pcm) -> None:
    await house.playback.write(Epoch(1), reply)
    house.playback.finish(Epoch(1))


def _different(recorded: Pcm, lap: Pcm, frame: int) -> int:
    """Return how many samples are not those that were at the microphone; its moment is good to a millisecond."""
    index = frame + np.arange(len(recorded))
    return min(int(np.count_nonzero(lap[(index + shift) % RING] != recorded)) for shift in range(-24, 25))


def _unplayed(card: VirtualCard, since: float, reply: Pcm) -> int:
    """Return how many samples of a reply were not played, or not in their place, after the fade at its beginning."""
    start = card.speaker.frame(since)
    played = card.speaker.played(start, card.speaker.now)
    first = int(np.flatnonzero(played)[0])
    best = len(reply)
    for shift in range(-80, 5):  # the fade begins with zeros
        at = first + shift
        if at >= 0 and at + len(reply) <= len(played):
            best = min(best, int(np.count_nonzero(played[at + 72 : at + len(reply)] != reply[72:])))
    return best


def _cpu_s(pid: int | None) -> float:
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9


def _rss_mb(pid: int | None) -> float:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE") / 1e6


@contextmanager
def _load() -> Iterator[None]:
    """Keep every core busy, and this process's interpreter, too."""
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(os.cpu_count() or 2)]
    stop = threading.Event()

    def hog() -> None:
        number = 0
        while not stop.is_set():
            number += 1

    thread = threading.Thread(target=hog)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
        for process in busy:
            process.kill()
            process.wait()


# Losses


class _Losses:
    """Figures of lost cards."""

    def __init__(self) -> None:
        self.noticed_ms: list[float] = []
        self.back_ms: list[float] = []
        self.lines_per_s = 0.0


async def _losses(card: VirtualCard) -> _Losses:
    found, lines = _Losses(), _Lines()
    async with household() as house:
        for jack in (card.microphone, card.speaker):
            for fault in FAULTS:
                await house.hearing()
                await house.playback.write(Epoch(house.engine.workers * 10), np.full(RATE * 3, 9_000, np.int16))
                await asyncio.sleep(0.7)
                workers, lost_at = house.engine.workers, house.now
                with lines:
                    jack.fail(fault)
                    noticed_s = await house.until(partial(_is_another, house.engine, workers))
                    found.noticed_ms.append(noticed_s * 1000)
                    await asyncio.sleep(max(0.0, lost_at + 1.0 - house.now))
                found.lines_per_s = max(found.lines_per_s, lines.count)
                jack.fail(Fault.FINE)
                back_at = house.now
                await house.until(lambda: house.engine.microphone.ready and house.engine.speaker.ready)
                await house.hearing()
                found.back_ms.append((house.now - back_at) * 1000)
                house.playback.flush()
    return found


def _is_another(engine: WorkerSupervisor, workers: int) -> bool:
    return engine.workers > workers


class _Lines(logging.Handler):
    """Counts what is logged while it is entered."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def emit(self, record: logging.LogRecord) -> None:
        self.count += 1

    def __enter__(self) -> Self:
        self.count = 0
        logging.getLogger().addHandler(self)
        return self

    def __exit__(self, *_: object) -> None:
        logging.getLogger().removeHandler(self)
