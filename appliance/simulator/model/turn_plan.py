"""What the model is going to do in one turn: decided when it begins, by the script and by the scenario."""

from dataclasses import dataclass
from enum import Enum

from appliance.simulator.model.replies import ToolStep
from appliance.units import Pcm


class Answer(Enum):
    """What the person gets."""

    SPOKEN = "spoken"
    EMPTY = "empty"
    """turnComplete and no audio."""
    WAITS = "waits"
    """waitingForInput and turnComplete, no audio: the person is expected to go on."""
    NONE = "none"
    """The person's words are transcribed, then nothing comes, not even an end."""
    NOTHING = "nothing"
    """Not a single message."""


class Completion(Enum):
    """When turnComplete comes."""

    PLAYED = "played"
    """When the audio would have been played: the service "assumes realtime playback"."""
    GENERATED = "generated"
    """At once after generationComplete; an interruption can then come after it."""


class Words(Enum):
    """How the person asks."""

    SPOKEN = "spoken"
    TYPED = "typed"
    """No input transcription tells of them."""


class Status(Enum):
    """What turnComplete says of interactionStatus, as the wire says it."""

    UNSAID = ""
    IDLE = "IDLE"
    IN_PROGRESS = "IN_PROGRESS"


class Interruption(Enum):
    """How an interruption is told."""

    ALONE = "alone"
    WITH_AUDIO = "with-audio"
    """In one message with audio of the discarded reply."""
    WITHOUT_END = "without-end"
    """No turnComplete follows."""


@dataclass(frozen=True, slots=True, eq=False)
class Filler:
    """A turn before the one that answers."""

    voice: Pcm
    """24 kHz mono."""
    wait_s: float
    """From its end to the answer."""


@dataclass(frozen=True, slots=True, eq=False)
class TurnPlan:
    """One turn of the model."""

    reply: int
    """Position in the script."""
    voice: Pcm
    """24 kHz mono; no samples: the model chooses to stay silent."""
    text: str
    """What the voice says."""
    heard: str
    """What the person is said to have asked; empty: nobody did, the turn goes on from results of tools."""
    tools: tuple[ToolStep, ...]
    """Called at once, in one message, before the model speaks."""
    thinking_s: float
    """Before anything but the transcription of the person."""
    speed: float
    """Audio is sent this many times faster than it plays; below 1, playback runs dry."""
    burst_ms: int = 80
    """Audio is sent in pieces of 80 ms, so many of them at a time as this holds."""
    answer: Answer = Answer.SPOKEN
    completion: Completion = Completion.PLAYED
    status: Status = Status.UNSAID
    interruption: Interruption = Interruption.ALONE
    reason: str = ""
    """turnCompleteReason, as the wire says it; empty: none is sent."""
    filler: Filler | None = None
    """Speech before the answer, as a turn that ends with IN_PROGRESS."""
    words: Words = Words.SPOKEN
