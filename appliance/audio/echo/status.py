"""State of the echo path, for reports and for people."""

from dataclasses import dataclass

from appliance.audio.echo.canceller import CancellerState
from appliance.units import Seconds


@dataclass(frozen=True, slots=True)
class EchoStatus:
    """Progress and figures of the cancellation."""

    state: CancellerState = CancellerState.COLD
    erle_db: float = 0.0
    """Echo return loss enhancement of the linear part, while something was played; 0 before."""
    delay_s: Seconds | None = None
    """Delay of the echo behind the time at which the card says that it is heard; None until it was measured."""
    ppm: float = 0.0
    """Drift of the speaker's clock against the microphone's, in parts in a million."""
