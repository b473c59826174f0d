"""The states of a conversation, what they imply, and the context that `machine.step` passes along.

`gate`, `wake_armed`, `deadline_s`, and the light (`indicator/patterns.py`), are functions of the context: no transition
can forget to set them.
"""

from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from appliance.core.events import Fault, Trouble

DISABLING: Final = frozenset({Fault.MICROPHONE, Fault.SPEAKER})
"""Faults that leave no way to hold a conversation; with the others, the wake word or the button still works."""


class State(Enum):
    """Where the conversation stands; the household sees it as a light."""

    STARTING = "starting"
    """Devices and models are being opened."""
    IDLE = "idle"
    """Waiting for the wake word or the button; nothing leaves the device."""
    CONNECTING = "connecting"
    """Token, TLS and set-up are under way; what is said is held."""
    LISTENING = "listening"
    """The link is open and the person has the word."""
    THINKING = "thinking"
    """The person has finished; no reply audio yet, or tools run."""
    SPEAKING = "speaking"
    """A reply is being played, to its last sample."""
    INTERRUPTED = "interrupted"
    """A reply was cut off; a moment for the eye only."""
    RECONNECTING = "reconnecting"
    """The link was lost and is being resumed; what is said is held."""
    FAREWELL = "farewell"
    """The conversation ends when what is to be played has been played."""
    TROUBLE = "trouble"
    """A conversation could not be had or ended early; the household is told, then all is as before."""
    FAULT = "fault"
    """A device is broken; nothing works until it is back."""
    STOPPED = "stopped"
    """The daemon is ending."""


UNHEARD: Final = frozenset({State.STARTING, State.IDLE, State.TROUBLE, State.FAULT, State.STOPPED})
"""States whose light promises that nothing leaves the device."""


class Mode(Enum):
    """Who decides where a person's turn begins and ends; fixed for the life of a link."""

    HANDS_FREE = "hands-free"
    """The service detects speech."""
    PUSH_TO_TALK = "push-to-talk"
    """The button does: activity_start and activity_end."""


class Talk(Enum):
    """The push-to-talk turn, orthogonal to the state: a press opens it, a release closes it, in every state."""

    NONE = "none"
    HELD = "held"
    RELEASED = "released"
    """Closed, and not answered yet."""


class Listening(Enum):
    """How far the person's turn has come: decides how long LISTENING waits."""

    FIRST = "first"
    """Nothing heard yet in this conversation."""
    SPEECH = "speech"
    """The service hears the person speak."""
    FOLLOW_UP = "follow-up"
    """After a reply: the person may go on without the wake word."""


class Reply(Enum):
    """How far the model's turn has come."""

    NONE = "none"
    COMING = "coming"
    COMPLETE = "complete"
    """No more audio comes; some may still have to be played."""
    CONTINUED = "continued"
    """The same; and a tool's result was sent since, about which the model has something to say."""


class Overlap(Enum):
    """Whether the person may be speaking on while a reply begins."""

    NONE = "none"
    POSSIBLE = "possible"
    """The reply cannot be heard yet: what the microphone hears is not its echo."""
    SPEECH = "speech"
    """The person speaks, and began before the reply could be heard."""


class BargeIn(Enum):
    """What can interrupt a reply; the button always can."""

    VOICE = "voice"
    """Any speech that the service hears: only where the speaker does not reach the microphone."""
    WAKE_WORD = "wake-word"
    BUTTON = "button"


class Gate(Enum):
    """What happens to microphone samples."""

    CLOSED = "closed"
    """None are sent; the pre-roll ring runs."""
    HOLD = "hold"
    """They belong to the turn and wait for a link."""
    OPEN = "open"
    """They are sent."""


@dataclass(frozen=True, slots=True)
class Policy:
    """The settings that the core needs; all times in seconds."""

    barge_in: BargeIn = BargeIn.WAKE_WORD
    starting_s: float = 60.0
    connecting_s: float = 8.0
    first_speech_s: float = 8.0
    greeting: str = field(default="", repr=False)
    """What the model is told in writing where nothing follows the wake word; empty: nothing."""
    greeting_s: float = 3.0
    """After the wake word, the wait for words before that."""
    follow_up_s: float = 8.0
    speech_s: float = 60.0
    thinking_s: float = 32.0
    """The last resort: the watchdogs of the link notice earlier that no answer comes."""
    tools_s: float = 40.0
    """The wait while tools run, which have limits of their own."""
    longest_s: float = 300.0
    """From the last wake word, press or text on; then the conversation ends after the answer that is under way."""
    farewell: str = field(default="Say goodbye.", repr=False)
    """Text that asks the model to say goodbye then."""
    unanswered_turns: int = 3
    """After so many turns in a row that the model leaves unanswered, the conversation ends."""
    trusted_interruptions: int = 3
    """After so many answers in a row that a voice has cut off, only the wake word or the button cuts the next one off:
    the voice may be the answer's own echo."""
    trusted_answers: int = 2
    """Answers in a row that may be followed by another without wake word, press or text. Before the next one is
    played, it is made sure that a person has asked."""
    tool_calls: int = 12
    """The most calls that are run for one question; the next ones are refused, and then the conversation ends."""
    tool_time_s: float = 60.0
    """From the first call for a question on; calls that come later are refused."""
    speaking_s: float = 300.0
    interrupted_s: float = 0.3
    reconnecting_s: float = 10.0
    resumptions: int = 3
    """A link that was lost is resumed so often without a reply in between."""
    farewell_s: float = 15.0
    """The wait for the model's last words; once they are being played, ``speaking_s`` counts."""
    trouble_s: float = 4.0
    fault_s: float = 10.0
    light_required: bool = False
    """Hold no conversation that no light would show."""


@dataclass(frozen=True, slots=True)
class Context:
    """All that the conversation knows; replaced, never changed, by `machine.step`."""

    policy: Policy = field(default_factory=Policy)
    state: State = State.STARTING
    entry: int = 0
    """Number of the current deadline; an older one is late."""
    link: int = 0
    """Id of the newest link; 0 before the first."""
    linked: bool = False
    """That link is being opened or is open."""
    mode: Mode = Mode.HANDS_FREE
    talk: Talk = Talk.NONE
    listening: Listening = Listening.FIRST
    reply: Reply = Reply.NONE
    epoch: int = 0
    """The reply that is being received or played; 0 for none."""
    overlap: Overlap = Overlap.NONE
    """Only in SPEAKING: until its first reply is heard, and to the end of what the person was saying then."""
    tools: frozenset[str] = frozenset()
    """Calls whose results the model still waits for."""
    request: int = 0
    """Number of the newest wake word, press or text."""
    overtime: bool = False
    """The longest time since then is over."""
    unanswered: int = 0
    """Turns in a row that the model has left unanswered."""
    interruptions: int = 0
    """Answers in a row since then that a voice has cut off."""
    answers: int = 0
    """Answers since then after which the person could go on."""
    unproved: bool = False
    """There was such an answer, and none since."""
    question: int = 0
    """Number of what the person says, or said last."""
    calls: int = 0
    """Tool calls for that question, refused ones too; the limit at least once its time is over."""
    greeted: bool = False
    """The model has spoken in this conversation, or was asked to."""
    tool_ran: bool = False
    """A tool was called since the model last began to speak: what it has done is not to be done twice."""
    in_progress: bool = False
    """The service works on at the request, though a turn of it may be over: more comes."""
    answer_pending: bool = False
    """The link was lost before the answer had come: it is to be had on the next one."""
    resumptions: int = 0
    """How often the link was resumed since the model last spoke to the end of a turn."""
    faults: frozenset[Fault] = frozenset()
    light_told: bool = False
    """That the light does not work was said in words: it cannot show it."""
    delay: Trouble | None = None
    """Why the link is not open yet."""
    cap: Trouble | None = None
    """The conversation ends once the answer is heard, for this reason."""
    trouble: Trouble | None = None
    """What TROUBLE is about."""


def disabled(context: Context) -> frozenset[Fault]:
    """Return the faults that rule a conversation out."""
    required = frozenset({Fault.LIGHT}) if context.policy.light_required else frozenset()
    return context.faults & (DISABLING | required)


def gate(context: Context) -> Gate:
    """Return what happens to microphone samples."""
    match context.state:
        case State.CONNECTING | State.RECONNECTING:
            return Gate.HOLD
        case State.LISTENING | State.INTERRUPTED | State.THINKING if context.mode is Mode.HANDS_FREE:
            return Gate.OPEN
        case State.LISTENING | State.INTERRUPTED if context.talk is Talk.HELD:
            return Gate.OPEN
        case State.SPEAKING if context.mode is Mode.HANDS_FREE and _hears_over_reply(context):
            return Gate.OPEN
        case _:
            return Gate.CLOSED


def _hears_over_reply(context: Context) -> bool:
    by_voice = context.policy.barge_in is BargeIn.VOICE and context.interruptions < context.policy.trusted_interruptions
    return by_voice or context.overlap is not Overlap.NONE


def wake_armed(context: Context) -> bool:
    """Return whether a detection of the wake word counts."""
    match context.state:
        case State.IDLE | State.FAREWELL | State.TROUBLE:
            return True
        case State.FAULT if not disabled(context):
            return True
        case State.SPEAKING if context.policy.barge_in is not BargeIn.BUTTON:
            return True
        case State.LISTENING | State.THINKING if context.talk is not Talk.HELD:
            first = context.state is State.LISTENING and context.listening is Listening.FIRST
            return not (first and context.mode is Mode.HANDS_FREE)
        case _:
            return False


def in_words(context: Context) -> str:
    """Return the state on one line, and the faults that it is about."""
    faults = ", ".join(sorted(fault.value for fault in context.faults))
    return f"{context.state.value}: {faults}" if context.state is State.FAULT and faults else context.state.value


def greets(context: Context) -> bool:
    """Return whether the model is to speak first should nobody say anything now."""
    silent = context.listening is Listening.FIRST and context.talk is Talk.NONE and context.mode is Mode.HANDS_FREE
    return silent and bool(context.policy.greeting) and not context.greeted


def deadline_s(context: Context) -> float | None:
    """Return how long the state may last; None for the resting states IDLE and STOPPED."""
    policy = context.policy
    listening_s = {
        Listening.FIRST: policy.greeting_s if greets(context) else policy.first_speech_s,
        Listening.SPEECH: policy.speech_s,
        Listening.FOLLOW_UP: policy.follow_up_s,
    }[context.listening]
    return {
        State.STARTING: policy.starting_s,
        State.IDLE: None,
        State.CONNECTING: policy.connecting_s,
        State.LISTENING: policy.speech_s if context.talk is Talk.HELD else listening_s,
        State.THINKING: policy.tools_s if context.tools else policy.thinking_s,
        State.SPEAKING: policy.speaking_s,
        State.INTERRUPTED: policy.interrupted_s,
        State.RECONNECTING: policy.reconnecting_s,
        State.FAREWELL: policy.farewell_s if context.reply is Reply.NONE else policy.speaking_s,
        State.TROUBLE: policy.trouble_s,
        State.FAULT: policy.fault_s,
        State.STOPPED: None,
    }[context.state]
