"""Synthesised audio."""

import numpy as np

from appliance.units import Pcm


def tone(rate_hz: int, seconds: float, hz: float = 440.0, peak: int = 10_000) -> Pcm:
    """Return a sine that begins with a zero, int16, shape (frames,)."""
    wave: Pcm = np.rint(peak * np.sin(2 * np.pi * hz * np.arange(round(rate_hz * seconds)) / rate_hz)).astype(np.int16)
    return wave
