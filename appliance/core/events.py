"""Events: facts that the conversation core reacts to. Frozen, in the past tense; do not subclass.

``link`` and ``epoch`` are ids: an event that carries an old one is stale and is ignored.
"""

from dataclasses import dataclass, field
from enum import Enum
from typing import Final, get_args


class Fault(Enum):
    """Something that is broken until it is cleared. Each has a light pattern; of several, the first one here shows."""

    MICROPHONE = "microphone"
    SPEAKER = "speaker"
    WAKE_WORD = "wake-word"
    BUTTON = "button"
    ENROLMENT = "enrolment"
    """No broken device: the appliance has not enrolled with a provisioning server yet."""
    LIGHT = "light"


class Trouble(Enum):
    """Why a conversation failed or ended early, as the light shows and a spoken message says."""

    NETWORK = "network"
    """The provisioning server or the service cannot be reached."""
    CLOCK = "clock"
    """The clock of this device is not set, so no certificate can be trusted."""
    REFUSED = "refused"
    """The server or the service refuses this device: a person must look at it."""
    NOT_ENROLLED = "not-enrolled"
    """This device has not enrolled with a provisioning server yet: its installer must."""
    SETTINGS = "settings"
    """The service does not offer what the settings ask for: a person must change them."""
    QUOTA = "quota"
    """The service reports that a quota is used up."""
    CAP_SESSION = "cap-session"
    """The spending limit of one conversation is reached."""
    CAP_DAY = "cap-day"
    """The spending limit of a day is reached."""
    CAP_MONTH = "cap-month"
    """The spending limit of a month is reached."""
    SILENT_SERVICE = "silent-service"
    """The service is connected and does not answer."""
    LOST = "lost"
    """The connection broke and the answer is lost."""
    SERVICE = "service"
    """The service reports that it is unavailable."""
    DECLINED = "declined"
    """The service blocked the answer."""


class Continuity(Enum):
    """Share of the conversation that the service knows when a link opens."""

    FULL = "full"
    """All of it: the session continues, and its tool calls are still valid."""
    PARTIAL = "partial"
    """All that was said up to some moment, or nothing; the turn that was under way is lost."""


class Press(Enum):
    """Kind of press, by its length."""

    TAP = "tap"
    """Too short to say anything: ends the conversation."""
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
    """The daemon has been asked to stop."""


@dataclass(frozen=True, slots=True)
class WakeDetected:
    """The wake word was detected; the person's turn begins at microphone sample ``speech_from``."""

    speech_from: int


@dataclass(frozen=True, slots=True)
class ButtonPressed:
    """The button went down; the person's turn begins at microphone sample ``speech_from``."""

    speech_from: int


@dataclass(frozen=True, slots=True)
class ButtonReleased:
    """The button came up; the person's turn ends before microphone sample ``speech_to``."""

    press: Press
    speech_to: int


@dataclass(frozen=True, slots=True)
class LinkOpened:
    """The service has answered the set-up: the link can carry audio."""

    link: int
    continuity: Continuity = Continuity.PARTIAL


@dataclass(frozen=True, slots=True)
class LinkDelayed:
    """An attempt to open a link failed and others follow; ``trouble`` is announced if none succeeds in time."""

    link: int
    trouble: Trouble


@dataclass(frozen=True, slots=True)
class LinkFailed:
    """A link could not be opened."""

    link: int
    trouble: Trouble


@dataclass(frozen=True, slots=True)
class LinkLost:
    """An open link has ended unexpectedly; with ``resumable``, another one may help."""

    link: int
    resumable: bool
    trouble: Trouble
    speaks: bool = False
    """Somebody is speaking at the microphone."""


@dataclass(frozen=True, slots=True)
class UserSpeech:
    """The service has detected speech."""

    link: int


@dataclass(frozen=True, slots=True)
class UserSilent:
    """The service has detected the end of speech; not every model reports it."""

    link: int


@dataclass(frozen=True, slots=True)
class ReplyStarted:
    """The first audio of a reply has arrived."""

    link: int
    epoch: int


@dataclass(frozen=True, slots=True)
class ReplyAudible:
    """The first sample of a reply is audible; with ``over_speech``, the person is speaking at that moment."""

    epoch: int
    over_speech: bool


@dataclass(frozen=True, slots=True)
class OverlapEnded:
    """The person has finished what they were saying when the reply became audible."""


@dataclass(frozen=True, slots=True)
class EchoReported:
    """Whether the echo of a reply is cancelled from now on, so that only a person can interrupt it by speaking."""

    cancelled: bool


@dataclass(frozen=True, slots=True)
class VoiceSuspected:
    """The microphone may be hearing a person while a reply is audible."""


@dataclass(frozen=True, slots=True)
class VoiceConfirmed:
    """The microphone hears a person while a reply is audible; follows `VoiceSuspected`."""


@dataclass(frozen=True, slots=True)
class VoiceCeased:
    """The microphone no longer hears whom `VoiceSuspected` reported."""


@dataclass(frozen=True, slots=True)
class YieldingOver:
    """The time limit of yielding number ``yielding`` has passed."""

    yielding: int


@dataclass(frozen=True, slots=True)
class ReplyEnded:
    """The model has finished its turn: it has no more audio. ``epoch`` is 0 if it had none at all."""

    link: int
    epoch: int


@dataclass(frozen=True, slots=True)
class ServerInterrupted:
    """The service reports that the person has interrupted the reply."""

    link: int


@dataclass(frozen=True, slots=True)
class Unanswered:
    """No answer will come; with ``repeatable``, the person's turn may be sent again on a new session."""

    link: int
    repeatable: bool
    heard: bool = True
    """False: only the microphone has detected speech, the service has not; it may have been noise."""


@dataclass(frozen=True, slots=True)
class InteractionReported:
    """The service reports whether it is still working on a request after a turn; not every model does."""

    link: int
    in_progress: bool


@dataclass(frozen=True, slots=True)
class InputAwaited:
    """The model says nothing because it expects the person to continue."""

    link: int


@dataclass(frozen=True, slots=True)
class TurnRefused:
    """The service has blocked a turn of the model because of the question or the answer."""

    link: int


@dataclass(frozen=True, slots=True)
class CapReached:
    """A spending cap is reached: no further turn is allowed."""

    link: int
    trouble: Trouble


@dataclass(frozen=True, slots=True)
class TextEntered:
    """Somebody has sent a text."""

    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class ToolsCalled:
    """The model has called tools."""

    link: int
    calls: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ToolsCancelled:
    """The model has cancelled these calls."""

    link: int
    calls: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ToolDone:
    """A tool has finished, with a result or an error for the model."""

    call: str


@dataclass(frozen=True, slots=True)
class ToolSlow:
    """A tool takes so long that a sound should fill the silence; repeated while it runs."""

    call: str


@dataclass(frozen=True, slots=True)
class ToolTimeOver:
    """The time limit for tool calls of question number ``question`` has passed."""

    question: int


@dataclass(frozen=True, slots=True)
class NobodyAsked:
    """The microphone has heard nobody since the last answer, or only that answer; follows `CheckWhoAsked`."""

    link: int


@dataclass(frozen=True, slots=True)
class ConversationTimeOver:
    """The conversation's time limit has passed, counted from request number ``request`` (wake word, press or text)."""

    request: int


@dataclass(frozen=True, slots=True)
class EndRequested:
    """A tool has asked to end the conversation after this reply."""


@dataclass(frozen=True, slots=True)
class PlaybackDrained:
    """The card has played the last sample of a reply."""

    epoch: int


@dataclass(frozen=True, slots=True)
class PlaybackStalled:
    """A reply ran out of audio before its end, and no more has arrived for a while."""

    epoch: int


@dataclass(frozen=True, slots=True)
class DeadlineReached:
    """The deadline of state entry number ``entry`` has passed."""

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
    | EchoReported
    | VoiceSuspected
    | VoiceConfirmed
    | VoiceCeased
    | YieldingOver
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

EVENTS: Final[tuple[type[Event], ...]] = get_args(Event)
