"""Takes away the echo on its own thread: neither card's thread ever waits for it."""

import sys
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Final

from appliance.audio.echo.modes import Aec
from appliance.audio.echo.path import EchoPath
from appliance.audio.echo.status import EchoStatus
from appliance.audio.echo.suppressor import Suppressor, load
from appliance.audio.ports import Block
from appliance.audio.worker.realtime import set_real_time
from appliance.errors import DeviceError
from appliance.units import AudioFormat, Hz, Pcm, Seconds

PRIORITY: Final = 50
"""Real-time priority: below those of the cards and of the main loop."""
MAX_BLOCKS: Final = 100
"""Blocks that wait, 1 to 2 s; further ones are dropped and counted."""


class EchoThread:
    """Passes blocks on, in order, without the echo of what was played; as they are where nothing is played."""

    def __init__(self, suppressor: Suppressor, deliver: Callable[[Block], None]) -> None:
        """``deliver`` is called on this thread."""
        self._suppressor = suppressor
        self._deliver = deliver
        self._path: EchoPath | None = None
        self._blocks: SimpleQueue[Block | None] = SimpleQueue()
        self.lost = 0
        """Samples dropped because too many were waiting, or because the canceller held them when it failed."""
        self.failures = 0
        """Exceptions; after one, blocks are passed on as they are."""
        self._thread = threading.Thread(target=self._run, name="echo", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop after the blocks that wait; the worker's process ends without."""
        self._blocks.put(None)
        self._thread.join()

    @property
    def status(self) -> EchoStatus | None:
        """State of the canceller; None before there is one, and after a failure. Any thread."""
        path = self._path
        return path.status if path is not None and not self.failures else None

    def put(self, block: Block) -> None:
        """Take the next block of the microphone; for its thread, never blocks."""
        if self._blocks.qsize() >= MAX_BLOCKS:
            self.lost += len(block.samples)
        else:
            self._blocks.put(block)

    def tapped(self, pull: Callable[[int, Seconds], Pcm], rate_hz: Hz) -> Callable[[int, Seconds], Pcm]:
        """Return a source of the same periods for the speaker, that tells the canceller what is played."""
        path = self._path = self._path or EchoPath(AudioFormat(rate_hz), self._suppressor)

        def pull_and_tell(frames: int, audible_at: Seconds) -> Pcm:
            samples = pull(frames, audible_at)
            path.played(samples, audible_at)
            return samples

        return pull_and_tell

    def _run(self) -> None:
        set_real_time(PRIORITY)
        while (taken := self._blocks.get()) is not None:
            for block in self._without_echo(taken):
                self._try_to_deliver(block)

    def _try_to_deliver(self, block: Block) -> None:
        try:
            self._deliver(block)
        except Exception as error:  # noqa: BLE001  the root of a thread: the blocks after this one go on
            self.failures += 1
            self.lost += len(block.samples)
            _say(f"a block of the microphone cannot be delivered: {error!r}")

    def _without_echo(self, block: Block) -> list[Block]:
        if self._path is None or self.failures:
            return [block]
        held = self._path.held
        try:
            return self._path.captured(block)
        except Exception as error:  # noqa: BLE001  the root of a thread: the microphone goes on without
            self.failures += 1
            self.lost += held
            _say(f"the echo canceller has failed: {error!r}")
            return [block]


def start(aec: Aec, deliver: Callable[[Block], None]) -> EchoThread | None:
    """Return a running thread; None where nothing is to be taken away, or the suppressor is not installed."""
    try:
        suppressor = load(aec)
    except DeviceError as error:
        _say(f"replies cannot be interrupted by speaking: {error}")
        return None
    return EchoThread(suppressor, deliver) if suppressor else None


def _say(line: str) -> None:
    """Write a line for the supervisor's log."""
    sys.stderr.write(line + "\n")
    sys.stderr.flush()
