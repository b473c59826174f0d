"""Cuts a stream of samples into the windows of a voice detector."""

import numpy as np

from appliance.units import Pcm, SampleIndex
from appliance.voice.ports import WINDOW


class WindowCutter:
    """Keeps less than one window of samples."""

    def __init__(self) -> None:
        self._pending: Pcm = np.empty(0, np.int16)
        self._next: SampleIndex | None = None

    def gap_before(self, start: SampleIndex) -> bool:
        """Return whether samples are missing before ``start``; true at first."""
        return start != self._next

    def cut(self, start: SampleIndex, samples: Pcm) -> list[tuple[SampleIndex, Pcm]]:
        """Take the next samples; return each window that is complete, shape (WINDOW,), with the index of its end.

        After a gap, the windows begin at ``start``.
        """
        pending = samples if self.gap_before(start) else np.concatenate((self._pending, samples))
        self._next = SampleIndex(start + len(samples))
        first, used = self._next - len(pending), len(pending) // WINDOW * WINDOW
        self._pending = pending[used:].copy()
        return [(SampleIndex(first + at + WINDOW), pending[at : at + WINDOW]) for at in range(0, used, WINDOW)]
