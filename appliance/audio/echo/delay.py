"""Delay of the echo behind the reference that the canceller is given, measured again and again. Pure; one thread."""

from typing import Final

import numpy as np

from appliance.audio.echo.canceller import BLOCK, Block
from appliance.audio.echo.correlation import find_echo
from appliance.units import UPLINK, Seconds

LONGEST_S: Final = 0.65
_WINDOW_S: Final = 1.5
_EVERY_S: Final = 1.0
"""Time between two searches."""
_SOUND: Final = 1e-6
"""Mean square of a reference that has an echo: -60 dBFS."""
_ENOUGH_S: Final = 0.4
"""Sound in the window that a search takes."""


class DelayEstimator:
    """Keeps the newest of what was captured and of the reference, and compares them once in a while."""

    def __init__(self) -> None:
        self._captured = np.zeros(UPLINK.frames(_WINDOW_S), np.float32)
        self._reference = np.zeros(UPLINK.frames(_WINDOW_S), np.float32)
        self._loud = 0
        """Blocks of the reference with sound in the window, about."""
        self._waited = 0

    def restart(self) -> None:
        """Forget everything: the reference is another one from now on."""
        self._captured[:] = 0
        self._reference[:] = 0
        self._loud = self._waited = 0

    def feed(self, captured: Block, reference: Block) -> Seconds | None:
        """Take 10 ms of both; return the delay if this is the time to measure it, and there is a clear echo."""
        for kept, newest in ((self._captured, captured), (self._reference, reference)):
            kept[:-BLOCK] = kept[BLOCK:]
            kept[-BLOCK:] = newest
        is_loud = float(np.mean(reference**2)) > _SOUND
        self._loud = min(self._loud + 1, UPLINK.frames(_WINDOW_S) // BLOCK) if is_loud else max(0, self._loud - 1)
        self._waited += 1
        if self._waited * BLOCK < UPLINK.frames(_EVERY_S) or self._loud * BLOCK < UPLINK.frames(_ENOUGH_S):
            return None
        self._waited = 0
        echo = find_echo(self._captured, self._reference, LONGEST_S, UPLINK)
        return None if echo is None else echo.delay_s
