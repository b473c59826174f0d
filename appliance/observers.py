"""Who else wants to know what the daemon does: the demo, a test."""

from collections.abc import Callable
from dataclasses import dataclass

from appliance.audio.ports import Block
from appliance.conversation import Moment
from appliance.errors import ApplianceError
from appliance.live.ports import Turn
from appliance.units import Seconds
from appliance.wake.ports import Detection, Score


def _nobody(*_: object) -> None:
    """Ignore what is told."""


@dataclass(frozen=True, slots=True)
class Observers:
    """Who else wants to know; all are called on the loop's thread and must be quick."""

    on_moment: Callable[[Moment], None] = _nobody
    on_block: Callable[[Block], None] = _nobody
    on_detection: Callable[[Detection], None] = _nobody
    on_scores: Callable[[list[Score]], None] = _nobody
    on_error: Callable[[ApplianceError], None] = _nobody
    on_said: Callable[[Turn], None] = _nobody
    """The words of a turn, once it is over and where the service tells them."""
    on_speaker: Callable[[Seconds], None] = _nobody
    """The speaker's first sample is heard at this moment."""
