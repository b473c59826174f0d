"""Level, clipping, offset and deadness of int16 samples. Pure."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from appliance.units import Dbfs, Pcm

FULL_SCALE: Final = 32768
DIGITAL_SILENCE: Final = Dbfs(-120.0)
"""Stands for minus infinity, which JSON does not have; lower than 16 bits can represent."""
SILENT_BELOW: Final = Dbfs(-75.0)
"""About six steps of 16 bits: less than the noise of any open microphone."""
CLIPPED_FROM: Final = 32700
"""Some converters flatten a little below full scale."""


@dataclass(frozen=True, slots=True)
class Level:
    """Result of `measure`. 0 dBFS is the level of a full-scale square wave; a full-scale sine has -3."""

    rms: Dbfs
    """See `rms_dbfs`."""
    peak: Dbfs
    """Level of the sample farthest from zero."""
    clipped: float
    """Fraction of samples at full scale, 0 to 1."""
    dc: float
    """Mean, as a fraction of full scale, -1 to 1."""
    stuck: int
    """Longest run of identical samples: a muted or dead microphone repeats itself."""

    @property
    def silent(self) -> bool:
        """Whether it is too quiet for anything to be heard."""
        return self.rms < SILENT_BELOW


def rms_dbfs(samples: Pcm) -> Dbfs:
    """Return the root mean square without the DC offset, so that a shifted dead input is not loud."""
    return _dbfs(float(samples.std())) if len(samples) else DIGITAL_SILENCE


def measure(samples: Pcm) -> Level:
    """Measure samples, any number of them; none at all count as digital silence."""
    if not len(samples):
        return Level(DIGITAL_SILENCE, DIGITAL_SILENCE, clipped=0.0, dc=0.0, stuck=0)
    wide = samples.astype(np.float64)
    distance = np.abs(wide)
    return Level(
        rms=rms_dbfs(samples),
        peak=_dbfs(float(distance.max())),
        clipped=float(np.mean(distance >= CLIPPED_FROM)),
        dc=float(wide.mean()) / FULL_SCALE,
        stuck=_longest_run(samples),
    )


def _dbfs(amplitude: float) -> Dbfs:
    if not amplitude:
        return DIGITAL_SILENCE
    return Dbfs(max(DIGITAL_SILENCE, 20 * float(np.log10(amplitude / FULL_SCALE))))


def _longest_run(samples: Pcm) -> int:
    """Return the length of the longest run of equal values; ``samples`` is not empty."""
    changes = np.flatnonzero(samples[1:] != samples[:-1]) + 1
    return int(np.diff(changes, prepend=0, append=len(samples)).max())
