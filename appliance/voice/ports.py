"""Port of the conversation to a voice detector."""

from dataclasses import dataclass
from typing import Final, Protocol

from appliance.units import UPLINK, Pcm, SampleIndex, Seconds

WINDOW: Final = 512
"""Samples that have one probability."""
WINDOW_S: Final[Seconds] = UPLINK.duration(WINDOW)


@dataclass(frozen=True, slots=True)
class SpeechProbability:
    """Probability that somebody speaks in one window."""

    end_sample: SampleIndex
    """Index just after the last sample of the window."""
    probability: float
    """0 to 1; from 0.5 on, speech is more likely than not."""


class VoiceDetector(Protocol):
    """A synchronous, deterministic detector without a clock; called from one thread at a time."""

    def feed(self, start: SampleIndex, samples: Pcm) -> list[SpeechProbability]:
        """Take the next 16 kHz mono samples, any number of them; return the windows that are now complete, in order.

        A ``start`` that is not the end of the samples before shows a gap: detection begins anew there, with an empty
        window. So a detector may be left without samples for any time.

        Raises:
            LocalModelError: A model could not be computed.
        """
