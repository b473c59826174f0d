"""Runs a wake-word engine on the microphone blocks, and delivers its detections on the loop.

A word that the appliance has said itself is not delivered. Whether another one counts is decided elsewhere: the core
ignores it while the wake word is disarmed.
"""

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import inf
from typing import Final

import numpy as np

from appliance import log
from appliance.audio.echo.recently_played import RecentlyPlayed
from appliance.audio.ports import Block
from appliance.audio.resample import Resampler
from appliance.clock import loop_time
from appliance.errors import LocalModelError
from appliance.units import REPLY, UPLINK, Seconds
from appliance.wake.ports import Detection, Score, WakeEngine

QUEUE_SAMPLES: Final = UPLINK.frames(Seconds(2.0))
"""Audio that waits for the engine; when there is more, the oldest blocks are dropped and counted."""
LOG_S: Final = 60.0
"""Least time between two log lines about an engine that is too slow."""
OWN_VOICE_S: Final = 2.5
"""Length of what was played that is searched for a word: the 1.3 s that an engine begins with, and an echo's delay."""


class WakeWordRunner:
    """Feeds one engine; all methods and callbacks on the loop's thread.

    ``on_scores`` gets the scores of each block that completed a hop, before ``on_detection`` gets what they led to.
    A detection whose word is in what was ``played`` by the appliance just before is logged and not delivered.
    """

    def __init__(
        self,
        engine: WakeEngine,
        on_detection: Callable[[Detection], None],
        on_scores: Callable[[list[Score]], None] | None = None,
        played: RecentlyPlayed | None = None,
        *,
        run_in_thread: bool = True,
    ) -> None:
        """On a Pi a hop takes a good part of its 80 ms, hence the thread.

        Without one, the engine runs in `feed`: for an engine that takes no time, and for virtual time.
        """
        self._engine = engine
        self._on_detection = on_detection
        self._on_scores = on_scores
        self._played = played
        self._run_in_thread = run_in_thread
        self._queue = _BlockQueue()
        self._logged_dropped, self._logged_at = 0, -inf
        self._ended = asyncio.Event()
        self._error: LocalModelError | None = None

    @property
    def dropped_samples(self) -> int:
        """Samples dropped because the engine was too slow."""
        return self._queue.dropped_samples

    def feed(self, block: Block) -> None:
        """Take the next block; after `run` has ended, it is ignored."""
        if self._ended.is_set():
            return
        if self._run_in_thread:
            self._queue.put(block)
            self._log_dropped()
            return
        try:
            result = self._listen(block)
        except Exception as error:  # noqa: BLE001  the root of the engine, as in _work
            self._fail(error)
        else:
            self._deliver(*result)

    def _log_dropped(self) -> None:
        now = loop_time()
        if self.dropped_samples > self._logged_dropped and now >= self._logged_at + LOG_S:
            self._logged_dropped, self._logged_at = self.dropped_samples, now
            log.event("wake.too-slow", level="warning", dropped_samples=self.dropped_samples)

    async def run(self) -> None:
        """Run the engine until cancelled; call once.

        At the end the thread is joined: that takes as long as the block that it is busy with.

        Raises:
            LocalModelError: The engine has failed.
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
        """Run the thread, if there is one."""
        if not self._run_in_thread:
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
        """Body of the thread."""
        try:
            while (block := self._queue.get()) is not None:
                detections, scores = self._listen(block)
                if detections or scores:
                    loop.call_soon_threadsafe(self._deliver, detections, scores)
        except Exception as error:  # noqa: BLE001  the root of the thread
            loop.call_soon_threadsafe(self._fail, error)

    def _listen(self, block: Block) -> tuple[list[Detection], list[Score]]:
        """Return what a person has said in a block, and its scores. On the thread, if there is one."""
        detections, scores = self._engine.feed(block.start, block.for_wake_word)
        end = block.start + len(block.samples)
        by_person = []
        for detection in detections:
            ended_at = Seconds(block.captured_at - UPLINK.duration(end - detection.end_sample))
            if self._is_own(ended_at):
                score = round(detection.score, 3)
                log.event("wake.ignored", reason="own-voice", model=detection.model, score=score)
            else:
                by_person.append(detection)
        return by_person, scores

    def _is_own(self, ended_at: Seconds) -> bool:
        """Return whether the appliance has said the word itself. Takes 50 ms, and half a second on a small Pi."""
        if self._played is None:
            return False
        played = self._played.between(Seconds(ended_at - OWN_VOICE_S), ended_at)
        if not played.any():
            return False
        resampler = Resampler(REPLY, UPLINK.rate_hz)
        return self._engine.contains(np.concatenate((resampler.feed(played), resampler.finish())))

    def _deliver(self, detections: list[Detection], scores: list[Score]) -> None:
        if self._ended.is_set():
            return
        if scores and self._on_scores is not None:
            self._on_scores(scores)
        for detection in detections:
            self._on_detection(detection)

    def _fail(self, error: Exception) -> None:
        if not isinstance(error, LocalModelError):
            failure = LocalModelError(f"the wake-word engine failed: {error!r}")
            failure.__cause__ = error
            error = failure
        self._error = error
        self._ended.set()


class _BlockQueue:
    """Blocks for the thread, at most `QUEUE_SAMPLES`; when full, the oldest are dropped and counted.

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
