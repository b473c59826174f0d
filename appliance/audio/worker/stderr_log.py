"""What the audio worker writes to stderr, read and logged sparingly: a lost card can make PortAudio rage."""

import asyncio
import os
from typing import Final

from appliance import log

LINES: Final = 8
"""Logged of each second; of the rest, how many there were."""
PAUSE_S: Final = 0.1
"""Between two looks: what the pipe does not hold meanwhile makes the worker wait, not the daemon work."""
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
        self._untold = 0
        self._timer: asyncio.TimerHandle | None = None
        self._loop.add_reader(descriptor, self._read)

    def close(self) -> None:
        """Read no more; what was not told is counted in a last line."""
        self._loop.remove_reader(self._descriptor)
        if self._timer is not None:
            self._timer.cancel()
        self._tell_rest()
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
            self._tell_rest()
            self._second, self._logged = self._loop.time(), 0
        if self._logged >= LINES:
            self._untold += 1
            return
        self._logged += 1
        log.event("audio.said", level="warning", line=line)

    def _tell_rest(self) -> None:
        if self._untold:
            log.event("audio.said", level="warning", line=f"and {self._untold} more lines")
            self._untold = 0
