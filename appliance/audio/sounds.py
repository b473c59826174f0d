"""Sounds of the appliance: earcons, which are computed, and recorded phrases."""

import wave
from functools import cache
from importlib.resources import files
from typing import Final

import numpy as np
import numpy.typing as npt

from appliance.core.effects import Earcon
from appliance.core.events import Fault, Trouble
from appliance.units import REPLY, Pcm

_PEAK: Final = round(32767 * 10 ** (-12 / 20))
"""-12 dBFS: softer than speech, with headroom for a reply."""
_GAP_S: Final = 0.02
_RISE_S: Final = 0.012
_FALL_S: Final = 0.06

_TONES: Final[dict[Earcon, tuple[tuple[float, float], ...]]] = {
    # (Hz, seconds): rising means "go on", falling "over", two low tones "no", one "wait".
    Earcon.WAKE: ((587.33, 0.09), (880.0, 0.13)),
    Earcon.END: ((659.26, 0.09), (440.0, 0.15)),
    Earcon.ERROR: ((220.0, 0.14), (220.0, 0.20)),
    Earcon.WORKING: ((329.63, 0.12),),
}


@cache
def make_earcon(kind: Earcon) -> Pcm:
    """Return the sound, 24 kHz mono, read-only; the same array every time."""
    gap = np.zeros(REPLY.frames(_GAP_S))
    pieces = [piece for hz, seconds in _TONES[kind] for piece in (_tone(hz, seconds), gap)][:-1]
    tones = np.concatenate(pieces)
    sound: Pcm = np.rint(tones * (_PEAK / np.abs(tones).max())).astype(np.int16)
    sound.setflags(write=False)
    return sound


def _tone(hz: float, seconds: float) -> npt.NDArray[np.float64]:
    """Return a tone with a little of its octave, faded in and out along half cosines; float64, shape (frames,)."""
    frames = REPLY.frames(seconds)
    phase = 2 * np.pi * hz * np.arange(frames) / REPLY.rate_hz
    tone: npt.NDArray[np.float64] = np.sin(phase) + 0.2 * np.sin(2 * phase)
    rise, fall = REPLY.frames(_RISE_S), REPLY.frames(_FALL_S)
    tone[:rise] *= 0.5 - 0.5 * np.cos(np.pi * np.arange(rise) / rise)
    tone[-fall:] *= 0.5 + 0.5 * np.cos(np.pi * np.arange(1, fall + 1) / fall)
    return tone


class Sounds:
    """Earcons and phrases; implements `conversation.Voice`."""

    def earcon(self, earcon: Earcon) -> Pcm | None:
        """Return a short sound, 24 kHz mono."""
        return make_earcon(earcon)

    def phrase(self, trouble: Trouble | Fault) -> Pcm | None:
        """Return a spoken sentence, 24 kHz mono."""
        return _phrase(trouble)


class PhrasesOnly(Sounds):
    """No earcons: the setting ``playback.earcons`` does not silence phrases."""

    def earcon(self, earcon: Earcon) -> None:
        """Return none."""


@cache
def _phrase(trouble: Trouble | Fault) -> Pcm:
    recording = files("appliance.audio") / "phrases" / f"{trouble.value}.wav"
    with recording.open("rb") as file, wave.open(file) as reader:
        return np.frombuffer(reader.readframes(reader.getnframes()), "<i2")
