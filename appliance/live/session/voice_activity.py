"""Whether somebody speaks at the microphone, by loudness alone. Pure.

It decides nothing about what is sent. It only keeps a service that hears nothing from going unnoticed.
"""

from dataclasses import dataclass, replace
from typing import Final, Self

from appliance.units import Dbfs, Seconds

_RISE_DB_S: Final = 3.0
"""Fastest rise of the noise level that is followed; a fall is followed at once."""


@dataclass(frozen=True, slots=True)
class Loudness:
    """The sound that counts as speech."""

    above_noise_db: float = 15.0
    at_least_dbfs: float = -55.0
    spoken_s: float = 0.4
    """In all: less is a cough, or the end of the wake word."""
    pause_s: float = 1.2
    """A shorter silence does not end it."""


@dataclass(frozen=True, slots=True)
class VoiceActivity:
    """Speech since `reset`, and its end."""

    loudness: Loudness = Loudness()
    noise: float | None = None
    """Level of the room, dBFS."""
    spoken_s: float = 0.0
    quiet_s: float = 0.0

    def reset(self) -> Self:
        """Return the activity without any speech; the noise of the room is still known."""
        return replace(self, spoken_s=0.0, quiet_s=0.0) if self.spoken_s or self.quiet_s else self

    def after(self, level: Dbfs, duration: Seconds) -> Self:
        """Return the activity after another stretch of microphone audio; the level is measured without DC."""
        noise = level if self.noise is None else min(level, self.noise + _RISE_DB_S * duration)
        if level >= max(noise + self.loudness.above_noise_db, self.loudness.at_least_dbfs):
            return replace(self, noise=noise, spoken_s=self.spoken_s + duration, quiet_s=0.0)
        return replace(self, noise=noise, quiet_s=self.quiet_s + duration)

    @property
    def speaks(self) -> bool:
        """Whether somebody speaks."""
        return self.spoken_s >= self.loudness.spoken_s and self.quiet_s < self.loudness.pause_s

    @property
    def stopped_s(self) -> float | None:
        """Seconds since somebody stopped speaking; None while nobody has, or may go on."""
        return self.pause_s if self.spoken_s >= self.loudness.spoken_s else None

    @property
    def pause_s(self) -> float | None:
        """Seconds without speech, if that is too long for a pause between words; since `reset` at the most."""
        return self.quiet_s if self.quiet_s >= self.loudness.pause_s else None

    @property
    def begins(self) -> bool:
        """Whether there was a sound just now that may become speech."""
        return self.spoken_s > 0.0 and self.quiet_s < self.loudness.pause_s

    @property
    def since_s(self) -> float | None:
        """Seconds since the last sound that counts; None: there was none."""
        return self.quiet_s if self.spoken_s > 0.0 else None
