"""What the conversation needs of a wake-word engine."""

from dataclasses import dataclass
from typing import Protocol

from appliance.units import Pcm, SampleIndex


@dataclass(frozen=True, slots=True)
class Detection:
    """A wake word was heard."""

    model: str
    """Name of the word, for example ``hey_jarvis``."""
    end_sample: SampleIndex
    """Index just after the last sample of the word, as near as the engine can tell."""
    score: float
    """0 to 1."""


@dataclass(frozen=True, slots=True)
class Score:
    """What the engine thought of one hop (80 ms): for pictures and tuning."""

    model: str
    end_sample: SampleIndex
    score: float


class WakeEngine(Protocol):
    """A synchronous, deterministic detector without a clock; called from one thread at a time."""

    def feed(self, start: SampleIndex, samples: Pcm) -> tuple[list[Detection], list[Score]]:
        """Take the next 16 kHz mono samples, any number of them; ``start`` tells of a gap.

        Returns the words that ended in them and every hop's score.
        """
