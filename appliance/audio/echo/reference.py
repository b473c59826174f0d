"""The audio that was played, at the microphone's rate and on the microphone's clock. Pure; one thread."""

from typing import Final

import numpy as np
import numpy.typing as npt

from appliance.audio.echo.canceller import BLOCK
from appliance.units import UPLINK, AudioFormat

_PHASES: Final = 128
"""Places between two frames with a filter each; in between, the nearest serves: an error below -45 dB."""
_HALF: Final = 24
"""Frames on each side of a place that its sample is made of."""
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
        places = np.arange(self.end + len(frames) - len(newest), self.end + len(frames)) % len(self._frames)
        self._frames[places] = newest
        self.end += len(frames)

    def read(self, position: float, ppm: float = 0.0) -> npt.NDArray[np.float32]:
        """Return 10 ms at 16 kHz from a place on.

        Args:
            position: Frames from the first that was played; need not be whole.
            ppm: How much faster than the microphone's the speaker's clock is, in parts in a million.

        What is not played yet, or no longer kept, is silence.
        """
        places = position + np.arange(BLOCK) * self._step * (1 + ppm * 1e-6)
        whole = np.floor(places).astype(np.int64)
        phases = np.rint((places - whole) * _PHASES).astype(np.int64)
        wanted = whole[:, None] + np.arange(1 - _HALF, 1 + _HALF)
        kept = (wanted < self.end) & (wanted >= max(0, self.end - len(self._frames)))
        frames = np.where(kept, self._frames[wanted % len(self._frames)], np.float32(0))
        samples: npt.NDArray[np.float32] = np.einsum("nk,nk->n", frames, self._kernels[phases])
        return samples


def _kernels(step: float) -> npt.NDArray[np.float32]:
    """Return windowed sinc filters, one for each place between two frames; shape (phases + 1, taps)."""
    offsets = np.arange(1 - _HALF, 1 + _HALF) - np.arange(_PHASES + 1)[:, None] / _PHASES
    cutoff = _PASSED * min(1.0, 1 / step)
    kernels = cutoff * np.sinc(cutoff * offsets) * np.cos(np.pi * offsets / (2 * _HALF + 2)) ** 2
    normalised: npt.NDArray[np.float32] = (kernels / kernels.sum(axis=1, keepdims=True)).astype(np.float32)
    return normalised
