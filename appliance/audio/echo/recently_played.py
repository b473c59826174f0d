"""The audio played in the last seconds, by the time at which it was heard."""

from typing import Final

import numpy as np

from appliance.audio.ring import SampleRing
from appliance.units import REPLY, Pcm, Seconds

KEPT_S: Final = 8.0
PAUSE_S: Final = 1.0
"""A longer pause separates two stretches."""
_JITTER: Final = REPLY.frames(0.002)
"""Pieces that miss each other by no more are one sound: reported times waver, and a gap would be a click."""


class RecentlyPlayed:
    """The last `KEPT_S`, 24 kHz mono; `played` on one thread, `between` on any other too."""

    def __init__(self) -> None:
        self._ring = SampleRing(REPLY.frames(KEPT_S))
        self.begin: Seconds | None = None
        """When the newest stretch began to be heard; None before the first."""
        self.end: Seconds | None = None
        """When the newest sample has been heard."""

    def played(self, audible_at: Seconds, samples: Pcm) -> None:
        """Note samples that are heard from a moment on; in order."""
        at = REPLY.frames(audible_at)
        if self.end is None or audible_at - self.end > PAUSE_S:
            self.begin = audible_at
        self.end = Seconds(audible_at + REPLY.duration(len(samples)))
        missing = at - self._ring.end
        if missing > self._ring.capacity:
            self._ring.end = at - self._ring.capacity
            missing = self._ring.capacity
        if missing > _JITTER:
            self._ring.append(np.zeros(missing, np.int16))
        elif missing < -_JITTER:
            samples = samples[-missing:]
        self._ring.append(samples)

    def between(self, begin: Seconds, end: Seconds) -> Pcm:
        """Return what was heard between two times, pauses included; zeros where it is not kept or not known yet."""
        start, stop = REPLY.frames(begin), REPLY.frames(end)
        heard: Pcm = np.zeros(stop - start, np.int16)
        newest = self._ring.end
        first, last = max(start, newest - self._ring.capacity), min(stop, newest)
        if first < last:
            heard[first - start : last - start] = self._ring.read(first, last - first)
        return heard
