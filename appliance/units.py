"""Types that carry a unit, and the three audio formats of the appliance.

A leaf: imports nothing of the appliance. Samples are ``int16``; one *frame* holds one sample per channel.
"""

from dataclasses import dataclass
from typing import Final, NewType

import numpy as np
import numpy.typing as npt

Hz = NewType("Hz", int)
Seconds = NewType("Seconds", float)
"""A duration, or a moment of the monotonic clock (``loop.time()``, ``time.monotonic()``): never wall-clock time."""
Dbfs = NewType("Dbfs", float)
SampleIndex = NewType("SampleIndex", int)
"""Position in the 16 kHz microphone stream, counted from the first sample since the daemon started; never reset."""
Epoch = NewType("Epoch", int)
"""Number of a reply: audio of an older epoch is stale."""

Pcm = npt.NDArray[np.int16]
"""Mono samples, dtype int16, shape (frames,)."""


@dataclass(frozen=True, slots=True)
class AudioFormat:
    """Sample rate and channel count of interleaved int16 audio."""

    rate_hz: Hz
    channels: int = 1

    def duration(self, frames: int) -> Seconds:
        """Return the length of ``frames`` frames."""
        return Seconds(frames / self.rate_hz)

    def frames(self, duration: float) -> int:
        """Return the number of frames in ``duration`` seconds, rounded."""
        return round(duration * self.rate_hz)


UPLINK: Final = AudioFormat(Hz(16_000))
"""Input of the Live API: 16 kHz mono (ai.google.dev, Live API, audio formats)."""
REPLY: Final = AudioFormat(Hz(24_000))
"""Output of the Live API: 24 kHz mono."""
