"""Levels of speech. Pure."""

from typing import Final

import numpy as np

from appliance.simulator.room.acoustics import Sound
from appliance.units import AudioFormat

_FRAME_S: Final = 0.02
_ACTIVE: Final = 1e-3
"""Power of a frame of speech, as a share of the loudest: pauses do not count."""


def speech_dbfs(speech: Sound, layout: AudioFormat) -> float:
    """Return the level of mono speech without its pauses; a full-scale square wave has 0 dB, silence -120 dB."""
    frame = layout.frames(_FRAME_S)
    powers = np.mean(speech[: len(speech) // frame * frame].reshape(-1, frame) ** 2, axis=1)
    active = powers[powers > _ACTIVE * powers.max(initial=0.0)]
    return float(10 * np.log10(active.mean() + 1e-12)) if len(active) else -120.0


def at_level(speech: Sound, layout: AudioFormat, dbfs: float) -> Sound:
    """Return mono speech at this level."""
    return speech * 10 ** ((dbfs - speech_dbfs(speech, layout)) / 20)
