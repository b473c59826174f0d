"""The audio that was played, at the microphone's rate and on the microphone's clock. Pure; one thread."""

import math
from typing import Final

import numpy as np
import numpy.typing as npt

from appliance.audio.echo.canceller import BLOCK
from appliance.units import UPLINK, AudioFormat

_PHASES: Final = 128
"""Places between two frames with a filter each; in between, the nearest serves: an error below -45 dB."""
_HALF: Final = 16
"""Frames on each side of a place that its sample is made of."""
_TAPS: Final = np.arange(2 * _HALF)
_PASSED: Final = 0.9
"""Share of the microphone's bandwidth that is passed."""


class PlayedReference:
    """The newest frames that the speaker has played; the oldest are overwritten.

    Args:
        layout: Mono, at the speaker's rate.
        capacity_s: How much is kept.
    """

    def __init__(self, layout: AudioFormat, capacity_s: float) -> None:
        self._step = layout.rate_hz / UPLINK.rate_hz
        self._frames = np.zeros(layout.frames(capacity_s), np.float32)
        self._kernels = _kernels(self._step)
        self.end = 0
        """Number of frames that have been played."""

    def played(self, frames: npt.NDArray[np.floating]) -> None:
        """Append frames between -1 and 1; silence between two replies has to be played as well."""
        newest = frames[-len(self._frames) :]
        self.end += len(frames)
        at = (self.end - len(newest)) % len(self._frames)
        head = newest[: len(self._frames) - at]
        self._frames[at : at + len(head)] = head
        self._frames[: len(newest) - len(head)] = newest[len(head) :]

    def take_back(self, count: int) -> None:
        """Undo the newest frames."""
        self.end -= count

    def read(self, position: float, ppm: float = 0.0, count: int = BLOCK) -> npt.NDArray[np.float32]:
        """Return samples at 16 kHz from a place on.

        Args:
            position: Frames from the first that was played; need not be whole.
            ppm: How much faster than the microphone's the speaker's clock is, in parts in a million.
            count: How many, at least one.

        What is not played yet, or no longer kept, is silence.
        """
        first = math.floor(position)
        places = (position - first) + np.arange(count) * (self._step * (1 + ppm * 1e-6))
        whole = places.astype(np.int64)
        phases = ((places - whole) * _PHASES + 0.5).astype(np.int64)
        frames = self._frames_between(first + 1 - _HALF, first + int(whole[-1]) + 1 + _HALF)
        near = frames.take(whole[:, np.newaxis] + _TAPS)
        samples: npt.NDArray[np.float32] = np.einsum("nk,nk->n", near, self._kernels.take(phases, axis=0))
        return samples

    def _frames_between(self, start: int, stop: int) -> npt.NDArray[np.float32]:
        """Return frames; zeros for those that are not there."""
        kept = max(start, self.end - len(self._frames), 0)
        until = min(stop, self.end)
        if until <= kept:
            return np.zeros(stop - start, np.float32)
        at, length = kept % len(self._frames), until - kept
        head = self._frames[at : at + length]
        missing = np.zeros(kept - start, np.float32), np.zeros(stop - until, np.float32)
        return np.concatenate((missing[0], head, self._frames[: length - len(head)], missing[1]))


def _kernels(step: float) -> npt.NDArray[np.float32]:
    """Return windowed sinc filters, one for each place between two frames; shape (phases + 1, taps)."""
    offsets = np.arange(1 - _HALF, 1 + _HALF) - np.arange(_PHASES + 1)[:, None] / _PHASES
    cutoff = _PASSED * min(1.0, 1 / step)
    kernels = cutoff * np.sinc(cutoff * offsets) * np.cos(np.pi * offsets / (2 * _HALF + 2)) ** 2
    normalised: npt.NDArray[np.float32] = (kernels / kernels.sum(axis=1, keepdims=True)).astype(np.float32)
    return normalised
