"""The microphone's level over the last seconds, with advice: for setting it up. Pure."""

from collections import deque
from dataclasses import dataclass
from typing import Final

import numpy as np

from appliance.audio.level import DIGITAL_SILENCE, Level, measure
from appliance.units import UPLINK, Dbfs, Pcm

WINDOW_S: Final = 0.1
FLOOR_OVER_S: Final = 10.0
"""Any ten seconds contain pauses between words."""
FLOOR_PERCENTILE: Final = 10
LOUD_FLOOR: Final = Dbfs(-40.0)
CLIPPING: Final = 0.001
"""Largest fraction of clipped samples that is not heard as rasping."""


@dataclass(frozen=True, slots=True)
class LevelReading:
    """Level of the newest second, and of the noise below it."""

    level: Level
    floor: Dbfs
    """Level of the quietest tenth of the last ten seconds."""

    @property
    def advice(self) -> str:
        """Advice in a few words; empty if the level is fine."""
        if self.level.peak <= DIGITAL_SILENCE:
            return "exact silence: muted, or the wrong device"
        if self.level.silent:
            return "nearly silent: is it muted?"
        if self.level.clipped > CLIPPING:
            return "too loud: turn its gain down"
        if abs(self.level.dc) > 0.05:
            return "shifted from zero: a fault of the card"
        if self.floor > LOUD_FLOOR:
            return "a loud background"
        return ""


class LevelMeter:
    """Takes samples, 16 kHz mono, in pieces of any length."""

    def __init__(self) -> None:
        self._second: deque[Pcm] = deque(maxlen=round(1 / WINDOW_S))
        self._floors: deque[float] = deque(maxlen=round(FLOOR_OVER_S / WINDOW_S))
        self._waiting: Pcm = np.zeros(0, np.int16)
        self.loudest = DIGITAL_SILENCE
        """Highest peak since the start."""
        self.clipped = 0
        """Samples at full scale since the start."""

    def feed(self, samples: Pcm) -> None:
        """Take samples."""
        self._waiting = np.concatenate((self._waiting, samples))
        length = UPLINK.frames(WINDOW_S)
        while len(self._waiting) >= length:
            window, self._waiting = self._waiting[:length], self._waiting[length:]
            level = measure(window)
            self._second.append(window)
            self._floors.append(level.rms)
            self.loudest = max(self.loudest, level.peak)
            self.clipped += round(level.clipped * length)

    @property
    def reading(self) -> LevelReading:
        """The current reading."""
        newest = np.concatenate(list(self._second)) if self._second else np.zeros(0, np.int16)
        floor = float(np.percentile(self._floors, FLOOR_PERCENTILE)) if self._floors else DIGITAL_SILENCE
        return LevelReading(measure(newest), Dbfs(floor))
