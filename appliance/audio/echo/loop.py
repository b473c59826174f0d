"""The loop from the speaker to the microphone, as `appliance doctor --loop` has measured it. Pure."""

from dataclasses import asdict, dataclass
from typing import Any, Final, Self

from pydantic import ConfigDict, TypeAdapter, ValidationError

LOOP_FILE: Final = "loop.json"
"""Name of the newest measurement, in the state directory."""
LEAST_REACH_M: Final = 0.5
"""Nobody bends down closer to an appliance to interrupt it."""
FARTHEST_M: Final = 5.0
"""Estimates end here: no living room is longer."""


@dataclass(frozen=True, slots=True)
class LoopMeasurement:
    """One measurement."""

    __pydantic_config__ = ConfigDict(allow_inf_nan=False, extra="ignore")

    microphone: str
    """The card, by its name in the settings; also of the speaker."""
    speaker: str
    noise_dbfs: float
    """Level at the microphone while nothing is played."""
    delay_s: float | None
    """Delay of the echo, against the times that both drivers report; None: the microphone does not hear the speaker."""
    ppm: float
    """Drift of the speaker's clock against the microphone's, in parts in a million; 0 if too little is known."""
    echo_gain_db: float
    """Level at the microphone against the level played; 0 without an echo, as the next two are."""
    erle_db: float
    """Echo return loss enhancement that the linear canceller reaches."""
    speech_to_echo_db: float
    """Estimate: the level of a person who speaks one metre away against that of the echo."""
    reach_m: float
    """Estimate: the distance from which a person can interrupt a reply by speaking; 0: from nowhere."""
    clipped: float = 0.0
    """Share of the microphone's samples at full scale while the speaker was heard, 0 to 1."""

    @property
    def allows_voice(self) -> bool:
        """Whether a reply can be interrupted by speaking: `barge_in = auto` follows it."""
        return self.reach_m >= LEAST_REACH_M

    def is_of(self, microphone: str, speaker: str) -> bool:
        """Return whether these cards, by their names in the settings, were measured."""
        return (self.microphone, self.speaker) == (microphone, speaker)

    def stored(self) -> dict[str, Any]:
        """Return the JSON object that `restored` takes."""
        return asdict(self)

    @classmethod
    def restored(cls, document: object) -> Self | None:
        """Return the measurement that a JSON object holds; None if it is none, or damaged."""
        try:
            return TypeAdapter(cls).validate_python(document)
        except ValidationError:
            return None
