"""Port of the conversation to a wake-word engine."""

from dataclasses import dataclass
from typing import Protocol

from appliance.units import Pcm, SampleIndex


@dataclass(frozen=True, slots=True)
class Detection:
    """A wake word was heard."""

    model: str
    """Name of the word, for example ``hey_jarvis``."""
    end_sample: SampleIndex
    """Index just after the last sample of the word, as exact as the engine knows it."""
    score: float
    """0 to 1."""


@dataclass(frozen=True, slots=True)
class Score:
    """The engine's score of one hop (80 ms): for plots and tuning."""

    model: str
    end_sample: SampleIndex
    score: float


class WakeEngine(Protocol):
    """A synchronous, deterministic detector without a clock; called from one thread at a time."""

    def feed(self, start: SampleIndex, samples: Pcm) -> tuple[list[Detection], list[Score]]:
        """Take the next 16 kHz mono samples, any number of them; ``start`` shows a gap.

        Returns the words that ended in them and every hop's score.
        """

    def contains(self, recording: Pcm) -> bool:
        """Return whether the word may end in the last second of a recording, 16 kHz mono; more easily than `feed`.

        For what the appliance has said itself; the stream that is fed is not disturbed.
        """
