"""Fades, where a sound would otherwise start or stop with a click."""

from typing import Final

import numpy as np
import numpy.typing as npt

from appliance.units import Hz, Pcm

FADE_S: Final = 0.003
"""3 ms of raised cosine leave no audible click (energy above 3 kHz is 60 dB below that of a hard cut)."""


class Fade:
    """The ramps at one sample rate."""

    def __init__(self, rate_hz: Hz) -> None:
        self.length: Final = round(rate_hz * FADE_S)
        """Length in samples."""
        angles = np.pi * np.arange(1, self.length + 1) / self.length
        self._falling: npt.NDArray[np.float32] = (0.5 + 0.5 * np.cos(angles)).astype(np.float32)
        self._rising = np.ascontiguousarray(self._falling[::-1])

    def fall(self, samples: Pcm, done: int) -> None:
        """Scale ``samples`` in place by the falling ramp from its sample ``done`` on; at most ``length - done``."""
        _scale(samples, self._falling[done : done + len(samples)])

    def rise(self, samples: Pcm, done: int) -> None:
        """Scale ``samples`` in place by the rising ramp from its sample ``done`` on; at most ``length - done``."""
        _scale(samples, self._rising[done : done + len(samples)])


def _scale(samples: Pcm, ramp: npt.NDArray[np.float32]) -> None:
    samples[:] = np.rint(samples * ramp)
