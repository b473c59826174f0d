"""Delay of the echo behind the reference that the canceller is given, measured again and again. Pure; one thread."""

from collections import deque
from typing import Final

import numpy as np

from appliance.audio.echo.canceller import BLOCK, Block
from appliance.audio.echo.correlation import find_echo
from appliance.units import UPLINK, Seconds

LONGEST_S: Final = 0.65
_WINDOW: Final = UPLINK.frames(1.5)
_SOUND: Final = 1e-6
"""Mean square of a reference that has an echo: -60 dBFS."""
_ENOUGH: Final = 10
"""Blocks with sound in the window that a search takes: a chime has more."""
_FADE: Final = np.linspace(0, 1, UPLINK.frames(0.03), dtype=np.float32)
"""For both ends of what is compared: where both are cut off at the same moment, they would seem to begin together."""


class DelayEstimator:
    """Keeps the newest of what was captured and of the reference, and compares them once in a while."""

    def __init__(self) -> None:
        # Captured, reference; a window moves through twice its length, so that it is copied once in its length.
        self._kept = np.zeros((2, 2 * _WINDOW), np.float32)
        self._end = _WINDOW
        self._sounds: deque[bool] = deque(maxlen=_WINDOW // BLOCK)
        """Whether there was sound in each block of the reference in the window."""
        self._waited = 0

    def restart(self) -> None:
        """Forget everything: the reference is another one from now on."""
        self._sounds.clear()
        self._waited = 0

    def feed(self, captured: Block, reference: Block) -> None:
        """Take the next block of both."""
        if self._end == 2 * _WINDOW:
            self._kept[:, :_WINDOW] = self._kept[:, _WINDOW:]
            self._end = _WINDOW
        place = slice(self._end, self._end + BLOCK)
        self._kept[0, place], self._kept[1, place] = captured, reference
        self._end += BLOCK
        self._sounds.append(float(np.dot(reference, reference)) > BLOCK * _SOUND)
        self._waited += BLOCK

    def search(self, interval_s: float) -> Seconds | None:
        """Return the delay if it is time for another search, and there is a clear echo."""
        if self._waited < UPLINK.frames(interval_s) or sum(self._sounds) < _ENOUGH:
            return None
        self._waited = 0
        kept = self._kept[:, self._end - len(self._sounds) * BLOCK : self._end].copy()
        kept[:, : len(_FADE)] *= _FADE
        kept[:, -len(_FADE) :] *= _FADE[::-1]
        captured, reference = kept
        echo = find_echo(captured, reference, LONGEST_S, UPLINK)
        return None if echo is None else echo.delay_s
