"""Logs the audio worker's stderr, a few lines a second: PortAudio can flood it when a card is lost."""

import asyncio
import os
from typing import Final

from appliance import log

LINES: Final = 8
"""Lines logged in a second; the others are counted."""
PAUSE_S: Final = 0.1
"""Pause between two reads: if the pipe is full meanwhile, the worker waits."""
_CHUNK: Final = 65_536


class StderrLog:
    """Reads one pipe until its end or `close`. Loop thread."""

    def __init__(self, descriptor: int) -> None:
        """``descriptor`` is closed by `close`."""
        os.set_blocking(descriptor, False)
        self._descriptor = descriptor
        self._loop = asyncio.get_running_loop()
        self._second = 0.0
        self._logged = 0
        self._unlogged = 0
        self._timer: asyncio.TimerHandle | None = None
        self._loop.add_reader(descriptor, self._read)

    def close(self) -> None:
        """Stop reading; a last line counts what was not logged."""
        self._loop.remove_reader(self._descriptor)
        if self._timer is not None:
            self._timer.cancel()
        self._log_rest()
        os.close(self._descriptor)

    def _read(self) -> None:
        self._loop.remove_reader(self._descriptor)
        try:
            text = os.read(self._descriptor, _CHUNK)
        except BlockingIOError:
            text = b" "
        if not text:
            return
        for line in text.decode(errors="replace").splitlines():
            if line.strip():
                self._log(line.strip())
        self._timer = self._loop.call_later(PAUSE_S, self._resume)

    def _resume(self) -> None:
        self._loop.add_reader(self._descriptor, self._read)

    def _log(self, line: str) -> None:
        if self._loop.time() - self._second > 1:
            self._log_rest()
            self._second, self._logged = self._loop.time(), 0
        if self._logged >= LINES:
            self._unlogged += 1
            return
        self._logged += 1
        log.event("audio.said", level="warning", line=line)

    def _log_rest(self) -> None:
        if self._unlogged:
            log.event("audio.said", level="warning", line=f"and {self._unlogged} more lines")
            self._unlogged = 0
