"""Observers of the daemon: the demo, and tests."""

from collections.abc import Callable
from dataclasses import dataclass

from appliance.audio.ports import Block
from appliance.conversation import Moment
from appliance.errors import ApplianceError
from appliance.live.ports import Turn
from appliance.units import Seconds
from appliance.voice.ports import SpeechProbability
from appliance.wake.ports import Detection, Score


def _ignore(*_: object) -> None:
    """Do nothing."""


@dataclass(frozen=True, slots=True)
class Observers:
    """Callbacks for observers; called on the loop's thread, they must return at once."""

    on_moment: Callable[[Moment], None] = _ignore
    on_block: Callable[[Block], None] = _ignore
    on_detection: Callable[[Detection], None] = _ignore
    on_scores: Callable[[list[Score]], None] = _ignore
    on_voice: Callable[[list[SpeechProbability]], None] = _ignore
    """The voice detector's probabilities of speech, while it runs."""
    on_error: Callable[[ApplianceError], None] = _ignore
    on_said: Callable[[Turn], None] = _ignore
    """The words of a turn after its end, if the service transcribes."""
    on_speaker: Callable[[Seconds], None] = _ignore
    """The speaker's first sample is heard at this moment."""
