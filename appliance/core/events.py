"""What has happened, as the conversation core is told it. Frozen, in the past tense; do not subclass.

``link`` and ``epoch`` are ids: an event that carries an old one is late and is ignored.
"""

from dataclasses import dataclass, field
from enum import Enum


class Fault(Enum):
    """What is broken as long as it lasts; each has its own light pattern; of several, the first in this order shows."""

    MICROPHONE = "microphone"
    SPEAKER = "speaker"
    WAKE_WORD = "wake-word"
    BUTTON = "button"
    ENROLMENT = "enrolment"
    """Not a device: this one has not enrolled with a provisioning server yet."""
    LIGHT = "light"


class Trouble(Enum):
    """Why no conversation could be had, or why one ended early: what the household is shown and told."""

    NETWORK = "network"
    """The provisioning server or the service cannot be reached."""
    CLOCK = "clock"
    """The clock of this device is not set, and so it trusts nobody."""
    REFUSED = "refused"
    """The server or the service refuses this device: a person must look at it."""
    NOT_ENROLLED = "not-enrolled"
    """This device has not enrolled with a provisioning server yet: its installer must."""
    SETTINGS = "settings"
    """What this device asks for is not to be had: a person must look at it."""
    QUOTA = "quota"
    """The service says that an allowance is used up."""
    CAP_SESSION = "cap-session"
    """The spending limit of one conversation is reached."""
    CAP_DAY = "cap-day"
    """The spending limit of a day is reached."""
    CAP_MONTH = "cap-month"
    """The spending limit of a month is reached."""
    SILENT_SERVICE = "silent-service"
    """The service is connected and does not answer."""
    LOST = "lost"
    """The connection broke, and the answer is lost with it."""
    SERVICE = "service"
    """The service says that it cannot serve now."""
    DECLINED = "declined"
    """The service does not let the model answer that."""


class Continuity(Enum):
    """How much of the conversation the service knows when a link opens."""

    FULL = "full"
    """All of it: it goes on where it stood, and calls that it has made are still its own."""
    PARTIAL = "partial"
    """What was said up to some moment, or nothing: the turn that was under way is lost."""


class Press(Enum):
    """How long the button was down."""

    TAP = "tap"
    """Shorter than the time that it takes to say something: ends the conversation."""
    HOLD = "hold"
    """A push-to-talk turn."""


@dataclass(frozen=True, slots=True)
class Ready:
    """Start-up is complete: microphone and speaker run, the wake word is loaded."""


@dataclass(frozen=True, slots=True)
class FaultRaised:
    """A device has failed."""

    fault: Fault


@dataclass(frozen=True, slots=True)
class FaultCleared:
    """A failed device works again."""

    fault: Fault


@dataclass(frozen=True, slots=True)
class StopRequested:
    """The daemon is to end."""


@dataclass(frozen=True, slots=True)
class WakeDetected:
    """The wake word was heard; what the person says begins at microphone sample ``speech_from``."""

    speech_from: int


@dataclass(frozen=True, slots=True)
class ButtonPressed:
    """The button went down; what the person says begins at microphone sample ``speech_from``."""

    speech_from: int


@dataclass(frozen=True, slots=True)
class ButtonReleased:
    """The button came up; the last sample that counts is the one before ``speech_to``."""

    press: Press
    speech_to: int


@dataclass(frozen=True, slots=True)
class LinkOpened:
    """The service has answered the set-up: the link can carry audio."""

    link: int
    continuity: Continuity = Continuity.PARTIAL


@dataclass(frozen=True, slots=True)
class LinkDelayed:
    """An attempt to open a link has failed; others follow. ``trouble`` is what to tell should they not help in time."""

    link: int
    trouble: Trouble


@dataclass(frozen=True, slots=True)
class LinkFailed:
    """A link could not be opened."""

    link: int
    trouble: Trouble


@dataclass(frozen=True, slots=True)
class LinkLost:
    """An open link has ended without being asked to; ``resumable`` says that another one may help."""

    link: int
    resumable: bool
    trouble: Trouble
    speaks: bool = False
    """Somebody speaks at the microphone."""


@dataclass(frozen=True, slots=True)
class UserSpeech:
    """The service has heard the person speak."""

    link: int


@dataclass(frozen=True, slots=True)
class UserSilent:
    """The service has heard the end of what the person says; not every model tells."""

    link: int


@dataclass(frozen=True, slots=True)
class ReplyStarted:
    """The first audio of a reply has come."""

    link: int
    epoch: int


@dataclass(frozen=True, slots=True)
class ReplyAudible:
    """The first sample of a reply is heard; ``over_speech``: the person is speaking at that moment."""

    epoch: int
    over_speech: bool


@dataclass(frozen=True, slots=True)
class OverlapEnded:
    """The person has finished what they were saying as the reply was first heard."""


@dataclass(frozen=True, slots=True)
class ReplyEnded:
    """The model has finished its turn: no more audio comes for it; ``epoch`` 0 where it had none."""

    link: int
    epoch: int


@dataclass(frozen=True, slots=True)
class ServerInterrupted:
    """The service says that the person has interrupted the reply."""

    link: int


@dataclass(frozen=True, slots=True)
class Unanswered:
    """No answer will come; ``repeatable`` says that what the person said may be sent again on a new session."""

    link: int
    repeatable: bool
    heard: bool = True
    """Without it, what has no answer need not have been speech: only the microphone has heard it."""


@dataclass(frozen=True, slots=True)
class InteractionReported:
    """The service is done with a request, or is not though a turn of the model is over; not every model tells."""

    link: int
    in_progress: bool


@dataclass(frozen=True, slots=True)
class InputAwaited:
    """The model says nothing because it expects the person to go on."""

    link: int


@dataclass(frozen=True, slots=True)
class TurnRefused:
    """The service has ended a turn of the model because of what was asked, or of what it was about to say."""

    link: int


@dataclass(frozen=True, slots=True)
class CapReached:
    """So much was spent that no further turn may be had."""

    link: int
    trouble: Trouble


@dataclass(frozen=True, slots=True)
class TextEntered:
    """Somebody says something in writing."""

    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class ToolsCalled:
    """The model wants tools run."""

    link: int
    calls: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ToolsCancelled:
    """The model no longer wants the results of these calls."""

    link: int
    calls: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ToolDone:
    """A tool has ended, with a result or an error for the model."""

    call: str


@dataclass(frozen=True, slots=True)
class ToolSlow:
    """A tool takes so long that the silence has to be filled; comes again as long as it runs."""

    call: str


@dataclass(frozen=True, slots=True)
class ToolTimeOver:
    """The time in which tools may be called for question number ``question`` is over."""

    question: int


@dataclass(frozen=True, slots=True)
class NobodyAsked:
    """The microphone has heard nobody since the last answer, or that answer itself; `CheckWhoAsked` wanted to know."""

    link: int


@dataclass(frozen=True, slots=True)
class ConversationTimeOver:
    """So much time has passed since turn-taking number ``request``: a wake word, a press or a text."""

    request: int


@dataclass(frozen=True, slots=True)
class EndRequested:
    """The conversation is to end after this reply (a tool asked for it)."""


@dataclass(frozen=True, slots=True)
class PlaybackDrained:
    """The card has played the last sample of a reply."""

    epoch: int


@dataclass(frozen=True, slots=True)
class PlaybackStalled:
    """A reply ran dry before its end and nothing more has come for a while."""

    epoch: int


@dataclass(frozen=True, slots=True)
class DeadlineReached:
    """The time allowed for state entry number ``entry`` is over."""

    entry: int


Event = (
    Ready
    | FaultRaised
    | FaultCleared
    | StopRequested
    | WakeDetected
    | ButtonPressed
    | ButtonReleased
    | LinkOpened
    | LinkDelayed
    | LinkFailed
    | LinkLost
    | UserSpeech
    | UserSilent
    | ReplyStarted
    | ReplyAudible
    | OverlapEnded
    | ReplyEnded
    | ServerInterrupted
    | Unanswered
    | InteractionReported
    | InputAwaited
    | TurnRefused
    | CapReached
    | TextEntered
    | ToolsCalled
    | ToolsCancelled
    | ToolDone
    | ToolSlow
    | ToolTimeOver
    | ConversationTimeOver
    | NobodyAsked
    | EndRequested
    | PlaybackDrained
    | PlaybackStalled
    | DeadlineReached
)

EVENTS: tuple[type[Event], ...] = (
    Ready,
    FaultRaised,
    FaultCleared,
    StopRequested,
    WakeDetected,
    ButtonPressed,
    ButtonReleased,
    LinkOpened,
    LinkDelayed,
    LinkFailed,
    LinkLost,
    UserSpeech,
    UserSilent,
    ReplyStarted,
    ReplyAudible,
    OverlapEnded,
    ReplyEnded,
    ServerInterrupted,
    Unanswered,
    InteractionReported,
    InputAwaited,
    TurnRefused,
    CapReached,
    TextEntered,
    ToolsCalled,
    ToolsCancelled,
    ToolDone,
    ToolSlow,
    ToolTimeOver,
    ConversationTimeOver,
    NobodyAsked,
    EndRequested,
    PlaybackDrained,
    PlaybackStalled,
    DeadlineReached,
)
