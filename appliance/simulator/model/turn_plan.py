"""The plan of one turn of the model: made when it begins, from the script and the scenario."""

from dataclasses import dataclass
from enum import Enum

from appliance.simulator.model.replies import ToolStep
from appliance.units import Pcm


class Answer(Enum):
    """The kind of answer that the person gets."""

    SPOKEN = "spoken"
    EMPTY = "empty"
    """turnComplete without audio."""
    WAITS_FOR_INPUT = "waits-for-input"
    """waitingForInput and turnComplete without audio: the person is expected to go on."""
    TRANSCRIPT_ONLY = "transcript-only"
    """The person is transcribed; nothing follows, not even turnComplete."""
    IGNORED = "ignored"
    """No message at all."""


class Status(Enum):
    """interactionStatus in turnComplete; the values are the wire's."""

    OMITTED = ""
    IDLE = "IDLE"
    IN_PROGRESS = "IN_PROGRESS"


class Interruption(Enum):
    """The form of an interruption."""

    ALONE = "alone"
    WITH_AUDIO = "with-audio"
    """The ``interrupted`` message also holds audio of the discarded reply."""
    WITHOUT_END = "without-end"
    """No turnComplete follows."""


@dataclass(frozen=True, slots=True, eq=False)
class Filler:
    """Speech in a turn of its own before the answer."""

    audio: Pcm
    """24 kHz mono."""
    wait_s: float
    """From its end to the answer."""


@dataclass(frozen=True, slots=True, eq=False)
class TurnPlan:
    """One turn of the model."""

    reply: int
    """Position in the script."""
    audio: Pcm
    """24 kHz mono; empty: the model stays silent."""
    text: str
    """The words of the audio."""
    question: str
    """The person's words; empty where the turn continues from tool results."""
    tools: tuple[ToolStep, ...]
    """Called before the model speaks, all in one message."""
    thinking_s: float
    """Wait before anything but the person's transcript."""
    speed: float
    """Audio is sent this many times faster than it plays; below 1, playback runs dry."""
    burst_ms: int = 80
    """Length of the bursts in which audio is sent, in whole chunks of 80 ms."""
    answer: Answer = Answer.SPOKEN
    completes_early: bool = False
    """Send turnComplete right after generationComplete, not when the audio has played: the service "assumes realtime
    playback". An interruption can then come after it."""
    status: Status = Status.OMITTED
    interruption: Interruption = Interruption.ALONE
    reason: str = ""
    """turnCompleteReason, in the wire's words; empty: omitted."""
    filler: Filler | None = None
    """Speech before the answer, in a turn that ends with IN_PROGRESS."""
    typed: bool = False
    """The question came as text: it has no input transcription."""
