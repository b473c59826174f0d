"""Detects by loudness whether and when a person speaks, over an echo or alone. Pure."""

from typing import Final

import numpy as np
import numpy.typing as npt

from appliance.audio.echo.correlation import Echo
from appliance.units import REPLY, UPLINK, AudioFormat, Pcm, Seconds

_FRAME_S: Final = 0.02
_DECAY: Final = 10 ** (-60 * _FRAME_S / 0.6 / 10)
"""Power of an echo from frame to frame after its cause has ended, with a reverberation time of 0.6 s."""
_LOUDER: Final = 10.0
"""Ratio of a person's power to that of the echo: 10 dB."""
_LEAST_POWER: Final = (32_768 * 10 ** (-50 / 20)) ** 2
_ABOVE_NOISE: Final = 4.0
_FAINT_POWER: Final = (32_768 * 10 ** (-65 / 20)) ** 2
_WORD_FRAMES: Final = 8
_FRAMES: Final = 4
"""Consecutive loud frames that are speech."""


def speech_onset(captured: Pcm, played: Pcm, echo: Echo, from_s: float) -> Seconds | None:
    """Return when somebody speaks over the echo of ``played`` (24 kHz) in ``captured`` (16 kHz), ``from_s`` or later.

    Both begin at the same time, from which times count. None where nobody does, by loudness.
    """
    heard = _powers(captured, UPLINK)
    cause = np.zeros(len(heard))
    shift = max(0, round(echo.delay_s / _FRAME_S))
    sounded = _powers(played, REPLY)[: max(0, len(heard) - shift)]
    cause[shift : shift + len(sounded)] = sounded
    if not cause.any():
        return None
    begin = round(from_s / _FRAME_S)
    known = np.flatnonzero(cause[:begin])  # the echo alone
    known = known if len(known) else np.flatnonzero(cause)
    gain = heard[known].mean() / cause[known].mean()
    for at in range(1, len(cause)):
        cause[at] = max(cause[at], cause[at - 1] * _DECAY)
    loud = heard[begin:] > np.maximum(cause[begin:] * gain * _LOUDER, _LEAST_POWER)
    runs = np.convolve(loud, np.ones(_FRAMES), "valid") == _FRAMES if len(loud) >= _FRAMES else loud[:0]
    return Seconds((begin + int(np.argmax(runs))) * _FRAME_S) if runs.any() else None


def has_sound(captured: Pcm) -> bool:
    """Return whether 16 kHz samples are louder than steady noise for long enough to be a word."""
    heard = _powers(captured, UPLINK)
    if not len(heard):
        return False
    threshold = min(max(np.percentile(heard, 10) * _ABOVE_NOISE, _FAINT_POWER), _LEAST_POWER)
    return int(np.count_nonzero(heard > threshold)) >= _WORD_FRAMES


def _powers(samples: Pcm, layout: AudioFormat) -> npt.NDArray[np.float64]:
    """Return the mean square of each whole frame."""
    frame = layout.frames(_FRAME_S)
    whole = samples[: len(samples) // frame * frame].astype(np.float64).reshape(-1, frame)
    return np.asarray(np.mean(whole**2, axis=1))
