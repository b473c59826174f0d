"""Status of the running daemon, as `appliance status` shows it: sent over the control socket."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from pydantic import BaseModel, ConfigDict

from appliance.core.events import Fault
from appliance.core.state import BargeIn, State

REMEDIES: Final[Mapping[Fault, str]] = MappingProxyType(
    {
        Fault.MICROPHONE: "check its plug; `appliance devices` lists the cards and the setting for each",
        Fault.SPEAKER: "check its plug; `appliance devices` lists the cards and the setting for each",
        Fault.WAKE_WORD: "use the button meanwhile; `sudo appliance doctor` loads and tries the wake word",
        Fault.BUTTON: "use the wake word meanwhile; `sudo appliance doctor` tries its pin",
        Fault.ENROLMENT: "enrol it: `sudo appliance enrol --join-file FILE`",
        Fault.LIGHT: "`sudo appliance doctor` tries its pins",
    }
)
"""Remedy of each fault."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True)


class FaultStatus(_Part):
    """Something that is broken now."""

    part: Fault
    reason: str
    """The error in one line; empty if none is known."""
    remedy: str


class SoundCardStatus(_Part):
    """One direction of a sound card that runs."""

    direction: str
    """"microphone" or "speaker"."""
    name: str
    rate_hz: int
    scheduling: str
    """"real-time" or "ordinary": see `audio.worker.messages.Scheduling`."""


class EchoCancellationStatus(_Part):
    """Cancellation of the appliance's own voice in the microphone's signal."""

    mode: str
    """Means of cancelling it: see `audio.echo.modes.Aec`."""
    cancelled: bool
    """Whether replies count as free of echo now, so that speech may interrupt them."""
    state: str | None = None
    """Progress of the canceller: "cold", "converged" or "broken"; None while there is none."""
    erle_db: float | None = None
    """Echo return loss enhancement: by how much the echo is weaker; None while it is unknown, as are the others."""
    delay_s: float | None = None
    """Delay of the echo behind the time at which the speaker's card says that a sample is heard."""
    ppm: float | None = None
    """Drift of the speaker's clock against the microphone's, in parts in a million."""


class DaemonStatus(_Part):
    """The whole of it."""

    version: str
    running_s: float
    """Time since the daemon started."""
    state: State
    meaning: str
    """The state in words."""
    state_s: float
    """Time since the state began."""
    faults: tuple[FaultStatus, ...] = ()
    cards: tuple[SoundCardStatus, ...] = ()
    """Those that run."""
    wake_word: str | None = None
    """Model of the wake word; None if there is none."""
    barge_in: BargeIn
    """Means of interrupting a reply."""
    barge_in_reason: str = ""
    """Why ``barge_in = "auto"`` means that; empty if the settings say so."""
    echo: EchoCancellationStatus
