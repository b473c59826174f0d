"""Whether somebody speaks at the microphone, from a detector's probabilities. Pure.

It decides nothing about what is sent. It only keeps a service that hears nothing from going unnoticed.
"""

from dataclasses import dataclass, replace
from typing import Final, Self

from appliance.units import Seconds

SPEECH: Final = 0.5
"""Probability from which a stretch counts as speech."""


@dataclass(frozen=True, slots=True)
class VoiceActivity:
    """Speech since `reset`, and its end."""

    least_s: float = 0.4
    """Speech in all that counts: less is a cough, or the end of the wake word."""
    longest_pause_s: float = 1.2
    """A shorter silence does not end it."""
    spoken_s: float = 0.0
    quiet_s: float = 0.0

    def reset(self) -> Self:
        """Return the activity without any speech."""
        return replace(self, spoken_s=0.0, quiet_s=0.0) if self.spoken_s or self.quiet_s else self

    def after(self, probability: float, duration: Seconds) -> Self:
        """Return the activity after another stretch of microphone audio, which is speech with this probability."""
        if probability >= SPEECH:
            return replace(self, spoken_s=self.spoken_s + duration, quiet_s=0.0)
        return replace(self, quiet_s=self.quiet_s + duration)

    @property
    def speaks(self) -> bool:
        """Whether somebody speaks."""
        return self.spoken_s >= self.least_s and self.quiet_s < self.longest_pause_s

    @property
    def stopped_s(self) -> float | None:
        """Seconds since somebody stopped speaking; None while nobody has, or may go on."""
        return self.pause_s if self.spoken_s >= self.least_s else None

    @property
    def pause_s(self) -> float | None:
        """Seconds without speech, if that is too long for a pause between words; since `reset` at the most."""
        return self.quiet_s if self.quiet_s >= self.longest_pause_s else None

    @property
    def begins(self) -> bool:
        """Whether there was a sound just now that may become speech."""
        return self.spoken_s > 0.0 and self.quiet_s < self.longest_pause_s

    @property
    def since_s(self) -> float | None:
        """Seconds since the last sound of speech; None: there was none."""
        return self.quiet_s if self.spoken_s > 0.0 else None
