"""Whether somebody speaks at the microphone, by loudness alone. Pure.

It decides nothing about what is sent. It only keeps a service that hears nothing from going unnoticed.
"""

from dataclasses import dataclass
from typing import Final

from appliance.units import Dbfs, Seconds

_RISE_DB_S: Final = 3.0
"""How fast the noise is believed to grow louder; it is believed at once to be softer."""


@dataclass(frozen=True, slots=True)
class Loudness:
    """What counts as speech."""

    above_noise_db: float = 15.0
    at_least_dbfs: float = -55.0
    spoken_s: float = 0.4
    """In all: less is a cough, or the end of the wake word."""
    pause_s: float = 1.2
    """A shorter silence does not end it."""


class VoiceActivityDetector:
    """Listens from `reset` on for speech and for its end."""

    def __init__(self, loudness: Loudness = Loudness()) -> None:
        self._loudness = loudness
        self._noise: float | None = None
        self.reset()

    def reset(self) -> None:
        """Nothing was said yet; the noise of the room is still known."""
        self._spoken_s = self._quiet_s = 0.0

    def feed(self, level: Dbfs, duration: Seconds) -> None:
        """Take the level of the next stretch of microphone audio, DC left out."""
        noise = level if self._noise is None else min(level, self._noise + _RISE_DB_S * duration)
        self._noise = noise
        if level >= max(noise + self._loudness.above_noise_db, self._loudness.at_least_dbfs):
            self._spoken_s += duration
            self._quiet_s = 0.0
        else:
            self._quiet_s += duration

    @property
    def speaks(self) -> bool:
        """Whether somebody speaks."""
        return self._spoken_s >= self._loudness.spoken_s and self._quiet_s < self._loudness.pause_s

    @property
    def stopped_s(self) -> float | None:
        """How long ago somebody stopped speaking; None while nobody has, or may go on."""
        return self.pause_s if self._spoken_s >= self._loudness.spoken_s else None

    @property
    def pause_s(self) -> float | None:
        """How long nobody has spoken, if that is too long for a pause between words; since `reset` at the most."""
        return self._quiet_s if self._quiet_s >= self._loudness.pause_s else None

    @property
    def begins(self) -> bool:
        """Whether there was a sound just now that may become speech."""
        return self._spoken_s > 0.0 and self._quiet_s < self._loudness.pause_s

    @property
    def since_s(self) -> float | None:
        """How long ago there was the last sound that counts; None: there was none."""
        return self._quiet_s if self._spoken_s > 0.0 else None
