"""Short sounds of our own: soft tones, made from numbers, so that nothing has to be shipped or read."""

from functools import cache
from typing import Final

import numpy as np
import numpy.typing as npt

from appliance.core.effects import Earcon
from appliance.units import REPLY, Pcm

_PEAK: Final = round(32767 * 10 ** (-12 / 20))
"""-12 dBFS: below speech, and room for a reply under it."""
_GAP_S: Final = 0.02
_RISE_S: Final = 0.012
_FALL_S: Final = 0.06

_TONES: Final[dict[Earcon, tuple[tuple[float, float], ...]]] = {
    # (Hz, seconds): rising says "go on", falling says "over", two low ones say "no", one says "wait".
    Earcon.WAKE: ((587.33, 0.09), (880.0, 0.13)),
    Earcon.END: ((659.26, 0.09), (440.0, 0.15)),
    Earcon.ERROR: ((220.0, 0.14), (220.0, 0.20)),
    Earcon.WORKING: ((329.63, 0.12),),
}


@cache
def earcon(kind: Earcon) -> Pcm:
    """Return the sound, 24 kHz mono, read-only; the same array every time."""
    gap = np.zeros(REPLY.frames(_GAP_S))
    pieces = [piece for hz, seconds in _TONES[kind] for piece in (_tone(hz, seconds), gap)][:-1]
    wave = np.concatenate(pieces)
    sound: Pcm = np.rint(wave * (_PEAK / np.abs(wave).max())).astype(np.int16)
    sound.setflags(write=False)
    return sound


def _tone(hz: float, seconds: float) -> npt.NDArray[np.float64]:
    """Return a tone with a little of its octave, that rises and falls along half cosines; float64, shape (frames,)."""
    frames = REPLY.frames(seconds)
    phase = 2 * np.pi * hz * np.arange(frames) / REPLY.rate_hz
    wave = np.sin(phase) + 0.2 * np.sin(2 * phase)
    rise, fall = REPLY.frames(_RISE_S), REPLY.frames(_FALL_S)
    wave[:rise] *= 0.5 - 0.5 * np.cos(np.pi * np.arange(rise) / rise)
    wave[-fall:] *= 0.5 + 0.5 * np.cos(np.pi * np.arange(1, fall + 1) / fall)
    return wave
