"""The facts that the session machine is fed with besides the service's messages, and its outputs. Frozen."""

from dataclasses import dataclass, field
from enum import Enum
from typing import Final, get_args

from appliance.core import events as ev
from appliance.core.state import Mode
from appliance.live.messages import LinkMessage, ToolCall
from appliance.units import Epoch, Seconds

# Facts


@dataclass(frozen=True, slots=True)
class ConversationStarted:
    """Another conversation begins."""


@dataclass(frozen=True, slots=True)
class ConnectionOpened:
    """A connection is open; the person's turn goes on, and so do the tools of a session that continues."""

    link: int
    mode: Mode
    continued: bool
    """The session knows all calls that it has made."""
    several_turns: bool
    """The model may take several turns for one request."""


@dataclass(frozen=True, slots=True)
class ConnectionClosed:
    """The connection is gone."""


@dataclass(frozen=True, slots=True)
class TurnTaken:
    """The person takes the turn by the wake word or, in push-to-talk mode, by the button."""

    mode: Mode


@dataclass(frozen=True, slots=True)
class TurnEnded:
    """The button was released."""


@dataclass(frozen=True, slots=True)
class TextSent:
    """The person says something in writing."""

    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class SpeechResent:
    """Speech that has no answer is being sent again, to its end at ``sent_at``."""

    sent_at: Seconds
    finished: bool = True
    """Without it, the person may still be speaking."""


@dataclass(frozen=True, slots=True)
class ReplyDiscarded:
    """The rest of the model's turn is not to be heard."""


@dataclass(frozen=True, slots=True)
class FirstAudio:
    """The first audio of a reply, once the conversation has seen the reply begin, and may have discarded it."""

    pcm: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class ToolAnswered:
    """A tool's result was sent, or was dropped."""

    call: str


@dataclass(frozen=True, slots=True)
class SpeechMeasured:
    """The probability that the next stretch of microphone audio is speech."""

    probability: float
    duration: Seconds


@dataclass(frozen=True, slots=True)
class RotationWanted:
    """Answers over this connection take longer and longer."""


@dataclass(frozen=True, slots=True)
class Ticked:
    """Time has passed; a few times a second while a connection is open."""

    stalled: bool = False
    """Audio that was sent does not leave this device."""


Fact = (
    LinkMessage
    | ConversationStarted
    | ConnectionOpened
    | ConnectionClosed
    | TurnTaken
    | TurnEnded
    | TextSent
    | SpeechResent
    | ReplyDiscarded
    | FirstAudio
    | ToolAnswered
    | SpeechMeasured
    | RotationWanted
    | Ticked
)
FACTS: Final[tuple[type[Fact], ...]] = get_args(Fact)

# Outputs, besides events for the conversation


class Symptom(Enum):
    """A fault of a service that is connected."""

    NO_REPLY = "no-reply"
    """The person has stopped speaking, and nothing comes."""
    MUTE_REPLY = "mute-reply"
    """Audio comes, and there is nothing on it."""
    FAILED_TURN = "failed-turn"
    """The service has ended the turn, as what the model made was of no use."""
    STUCK = "stuck"
    """The service works and works."""
    STALLED_UPLINK = "stalled-uplink"
    """Audio that is sent does not leave this device."""


class Action(Enum):
    """The action that helps."""

    RETRY_UTTERANCE = "retry-utterance"
    """A fresh session, and what the person said once more."""
    ROTATE = "rotate"
    """Another connection."""
    APOLOGISE = "apologise"
    """The retry was in vain too: say so."""


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """A fault and the action against it; an event, if there is one, follows."""

    symptom: Symptom
    action: Action


@dataclass(frozen=True, slots=True)
class ReplyChunk:
    """Audio of reply ``epoch`` that is to be played: s16le, 24 kHz mono."""

    epoch: Epoch
    pcm: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class AnswerStarted:
    """Speech that was sent so far is being answered."""


@dataclass(frozen=True, slots=True)
class AnswerEnded:
    """It has its answer: it is not to be sent again."""


@dataclass(frozen=True, slots=True)
class AnswerDelay:
    """The service took this long to answer, without a tool."""

    seconds: float


@dataclass(frozen=True, slots=True)
class WordsMissed:
    """The service has missed words after an answer: the newest speech is worth sending again."""


@dataclass(frozen=True, slots=True)
class ResendText:
    """Words in writing without an answer are to be sent again."""

    text: str = field(repr=False)


Output = (
    ev.Event
    | Diagnosis
    | ReplyChunk
    | FirstAudio
    | AnswerStarted
    | AnswerEnded
    | AnswerDelay
    | WordsMissed
    | ResendText
    | ToolCall
)
