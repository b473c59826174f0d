"""Brings microphone blocks to a wake-word engine, and what it heard back to the loop.

Whether a detection counts is not decided here: the core ignores it where the wake word is disarmed.
"""

import asyncio
import statistics
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from math import inf
from typing import Final

from appliance import log
from appliance.audio.ports import Block
from appliance.errors import WakeModelError
from appliance.units import UPLINK, Seconds
from appliance.wake.ports import Detection, Score, WakeEngine

QUEUE_SAMPLES: Final = UPLINK.frames(Seconds(2.0))
"""The most audio that waits for the engine; when there is more, the oldest blocks are dropped and counted."""
TOLD_S: Final = 60.0
"""That the engine is too slow is told no more often."""
TIMED_HOPS: Final = 750
"""Hops that `WakeWordRunner.pace` looks back on: one minute."""


class Place(Enum):
    """Where the engine computes."""

    THREAD = "thread"
    """In a thread of its own: on a Pi, a hop takes a good part of its 80 ms."""
    INLINE = "inline"
    """In `WakeWordRunner.feed`: for an engine that takes no time, and for virtual time."""


@dataclass(frozen=True, slots=True)
class InferenceTiming:
    """How long the engine takes for a hop of 80 ms, over the last `TIMED_HOPS`."""

    hops: int
    p50_ms: float
    p95_ms: float


@dataclass(frozen=True, slots=True)
class _Heard:
    detections: list[Detection]
    scores: list[Score]
    took_ms: float


class WakeWordRunner:
    """Feeds one engine; all methods and callbacks on the loop's thread.

    ``on_scores`` gets the scores of each block that completed a hop, before ``on_detection`` gets what they led to.
    """

    def __init__(
        self,
        engine: WakeEngine,
        on_detection: Callable[[Detection], None],
        on_scores: Callable[[list[Score]], None] | None = None,
        place: Place = Place.THREAD,
    ) -> None:
        self._engine = engine
        self._on_detection = on_detection
        self._on_scores = on_scores
        self._place = place
        self._queue = _BlockQueue()
        self._hop_ms: deque[float] = deque(maxlen=TIMED_HOPS)
        self._told_dropped, self._told_at = 0, -inf
        self._ended = asyncio.Event()
        self._error: WakeModelError | None = None

    @property
    def dropped_samples(self) -> int:
        """Samples that the engine was too slow for."""
        return self._queue.dropped_samples

    @property
    def pace(self) -> InferenceTiming | None:
        """The engine's time per hop, or None before the second hop."""
        if len(self._hop_ms) < 2:
            return None
        ventiles = statistics.quantiles(self._hop_ms, n=20, method="inclusive")
        return InferenceTiming(len(self._hop_ms), ventiles[9], ventiles[18])

    def feed(self, block: Block) -> None:
        """Take the next block; after `run` has ended, it goes nowhere."""
        if self._ended.is_set():
            return
        if self._place is Place.THREAD:
            self._queue.put(block)
            self._tell_dropped()
            return
        try:
            heard = self._listen(block)
        except Exception as error:  # noqa: BLE001  the root of the engine, as in _work
            self._fail(error)
        else:
            self._deliver(heard)

    def _tell_dropped(self) -> None:
        now = asyncio.get_running_loop().time()
        if self.dropped_samples > self._told_dropped and now >= self._told_at + TOLD_S:
            self._told_dropped, self._told_at = self.dropped_samples, now
            log.event("wake.too-slow", level="warning", dropped_samples=self.dropped_samples)

    async def run(self) -> None:
        """Run the engine until cancelled; call once.

        At the end the thread is joined: that takes as long as the block that it is busy with.

        Raises:
            WakeModelError: The engine has failed.
        """
        try:
            with self._working(asyncio.get_running_loop()):
                await self._ended.wait()
        finally:
            self._ended.set()
        if self._error is not None:
            raise self._error

    @contextmanager
    def _working(self, loop: asyncio.AbstractEventLoop) -> Iterator[None]:
        """Keep the thread, if there is one, at work."""
        if self._place is Place.INLINE:
            yield
            return
        thread = threading.Thread(target=self._work, args=(loop,), name="wake")
        thread.start()
        try:
            yield
        finally:
            self._queue.close()
            thread.join()

    def _work(self, loop: asyncio.AbstractEventLoop) -> None:
        """The thread."""
        try:
            while (block := self._queue.get()) is not None:
                heard = self._listen(block)
                if heard.scores or heard.detections:
                    loop.call_soon_threadsafe(self._deliver, heard)
        except Exception as error:  # noqa: BLE001  the root of the thread
            loop.call_soon_threadsafe(self._fail, error)

    def _listen(self, block: Block) -> _Heard:
        began = time.perf_counter()
        detections, scores = self._engine.feed(block.start, block.samples)
        return _Heard(detections, scores, (time.perf_counter() - began) * 1000)

    def _deliver(self, heard: _Heard) -> None:
        if self._ended.is_set():
            return
        hops = len(heard.scores)
        self._hop_ms.extend([heard.took_ms / hops] * hops if hops else ())
        if heard.scores and self._on_scores is not None:
            self._on_scores(heard.scores)
        for detection in heard.detections:
            self._on_detection(detection)

    def _fail(self, error: Exception) -> None:
        if not isinstance(error, WakeModelError):
            told = WakeModelError(f"the wake-word engine failed: {error!r}")
            told.__cause__ = error
            error = told
        self._error = error
        self._ended.set()


class _BlockQueue:
    """Blocks on their way to the thread, at most `QUEUE_SAMPLES`; when full, the oldest are dropped and counted.

    The newest block is always kept, whatever its length.
    """

    def __init__(self) -> None:
        self._blocks: deque[Block] = deque()
        self._samples = 0
        self._closed = False
        self._changed = threading.Condition()
        self.dropped_samples = 0

    def put(self, block: Block) -> None:
        with self._changed:
            self._blocks.append(block)
            self._samples += len(block.samples)
            while self._samples > QUEUE_SAMPLES and len(self._blocks) > 1:
                lost = len(self._blocks.popleft().samples)
                self._samples -= lost
                self.dropped_samples += lost
            self._changed.notify()

    def get(self) -> Block | None:
        """Wait for the oldest block; None once the queue is closed, even if blocks are left."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._blocks)
            if self._closed:
                return None
            block = self._blocks.popleft()
            self._samples -= len(block.samples)
            return block

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify()
