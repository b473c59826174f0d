"""The states of a conversation, what they imply, and the context that `machine.step` passes along.

`gate`, `wake_armed`, `deadline_s`, and the light (`indicator/patterns.py`), are functions of the context: no transition
can forget to set them.
"""

from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from appliance.core.events import Fault, Trouble

DISABLING: Final = frozenset({Fault.MICROPHONE, Fault.SPEAKER})
"""Faults that prevent any conversation; with the others, the wake word or the button still works."""


class State(Enum):
    """A state of the conversation; the light shows it."""

    STARTING = "starting"
    """Devices and models are being opened."""
    IDLE = "idle"
    """Waiting for the wake word or the button; nothing leaves the device."""
    CONNECTING = "connecting"
    """Token, TLS and set-up are under way; speech is held."""
    LISTENING = "listening"
    """The link is open; it is the person's turn."""
    THINKING = "thinking"
    """The person has finished; no reply audio yet, or tools run."""
    SPEAKING = "speaking"
    """A reply is being played, to its last sample."""
    INTERRUPTED = "interrupted"
    """A reply was interrupted; shown for a moment only."""
    RECONNECTING = "reconnecting"
    """The link was lost and is being resumed; speech is held."""
    FAREWELL = "farewell"
    """The conversation ends once everything has been played."""
    TROUBLE = "trouble"
    """A conversation failed or ended early; that is announced before the appliance returns to rest."""
    FAULT = "fault"
    """A device is broken; its light pattern shows until it works again."""
    STOPPED = "stopped"
    """The daemon is ending."""


NOT_SENDING: Final = frozenset({State.STARTING, State.IDLE, State.TROUBLE, State.FAULT, State.STOPPED})
"""States whose light means that nothing leaves the device."""


class Mode(Enum):
    """Who decides where a person's turn begins and ends; fixed for one link."""

    HANDS_FREE = "hands-free"
    """The service detects speech."""
    PUSH_TO_TALK = "push-to-talk"
    """The button marks it: activity_start and activity_end."""


class Talk(Enum):
    """The push-to-talk turn, orthogonal to the state: a press opens it and a release closes it, in every state."""

    NONE = "none"
    HELD = "held"
    RELEASED = "released"
    """Closed and not answered yet."""


class Listening(Enum):
    """Progress of the person's turn; decides how long LISTENING lasts."""

    FIRST = "first"
    """Nothing heard yet in this conversation."""
    SPEECH = "speech"
    """The service detects speech."""
    FOLLOW_UP = "follow-up"
    """After a reply: the person may continue without the wake word."""


class Reply(Enum):
    """Progress of the model's turn."""

    NONE = "none"
    COMING = "coming"
    COMPLETE = "complete"
    """All audio has arrived; some may still have to be played."""
    CONTINUED = "continued"
    """Complete, and a tool's result has been sent since: the model will say more."""


class Overlap(Enum):
    """Whether the person may be speaking while a reply begins."""

    NONE = "none"
    POSSIBLE = "possible"
    """The reply is not audible yet, so the microphone cannot hear its echo."""
    SPEECH = "speech"
    """The person is speaking, and began before the reply was audible."""


class Yielding(Enum):
    """Degree to which a reply makes way for a person who may be speaking."""

    NONE = "none"
    DUCKED = "ducked"
    """A person is suspected."""
    PAUSED = "paused"
    """A person speaks: the service is given time to report an interruption."""


class BargeIn(Enum):
    """Means of interrupting a reply; the button always can."""

    VOICE = "voice"
    """Any speech that the service hears; only while the echo of the reply is cancelled."""
    WAKE_WORD = "wake-word"
    BUTTON = "button"


class Gate(Enum):
    """Fate of microphone samples."""

    CLOSED = "closed"
    """None are sent; the microphone buffer keeps the last seconds."""
    HOLD = "hold"
    """They belong to the person's turn and wait for a link."""
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
    """Text sent to the model if no speech follows the wake word; empty to send none."""
    greeting_s: float = 3.0
    """Wait for speech after the wake word before the greeting is sent."""
    follow_up_s: float = 8.0
    speech_s: float = 60.0
    thinking_s: float = 32.0
    """Last resort: the watchdogs of the session notice a missing answer earlier."""
    tools_s: float = 40.0
    """Wait while tools run; each tool also has its own limit."""
    duck_s: float = 2.0
    """Longest time that a reply is ducked for a person who is suspected and not confirmed."""
    pause_s: float = 0.7
    """Wait for the service to report an interruption before a paused reply is played on; once again as long while the
    person still speaks."""
    false_pauses: int = 2
    """Pauses of a reply that were no interruption, after which it is only ducked."""
    longest_s: float = 300.0
    """Counted from the last wake word, press or text; then the conversation ends after the current answer."""
    farewell: str = field(default="Say goodbye.", repr=False)
    """Text that asks the model to say goodbye."""
    unanswered_turns: int = 3
    """Turns in a row without an answer after which the conversation ends."""
    trusted_interruptions: int = 3
    """Answers in a row that speech may interrupt. After that only the wake word or the button can, as the speech may be
    the echo of the answer."""
    trusted_answers: int = 2
    """Answers in a row without a wake word, press or text after which the next one is played only if the microphone
    has heard a person."""
    tool_calls: int = 12
    """Maximum tool calls for one question. Further ones are refused; if even more follow, the conversation ends."""
    tool_time_s: float = 60.0
    """Time limit for tool calls, counted from the first one for a question; later calls are refused."""
    speaking_s: float = 300.0
    interrupted_s: float = 0.3
    reconnecting_s: float = 10.0
    resumptions: int = 3
    """Maximum times in a row that a lost link is resumed without a complete reply."""
    farewell_s: float = 15.0
    """Wait for the model's last words; while they are played, ``speaking_s`` applies."""
    trouble_s: float = 4.0
    fault_s: float = 10.0
    light_required: bool = False
    """Refuse conversations while the light does not work."""


@dataclass(frozen=True, slots=True)
class Context:
    """Everything that decisions depend on; immutable, replaced by `machine.step`."""

    policy: Policy = field(default_factory=Policy)
    state: State = State.STARTING
    entry: int = 0
    """Number of the current deadline; an older one is stale."""
    link: int = 0
    """Id of the newest link; 0 before the first."""
    linked: bool = False
    """Whether that link is open or being opened."""
    mode: Mode = Mode.HANDS_FREE
    talk: Talk = Talk.NONE
    listening: Listening = Listening.FIRST
    reply: Reply = Reply.NONE
    epoch: int = 0
    """The reply that is being received or played; 0 for none."""
    overlap: Overlap = Overlap.NONE
    """Only in SPEAKING: until the reply is audible, then to the end of what the person was saying."""
    echo_cancelled: bool = False
    """The microphone's samples are free of the echo of a reply, or the hardware cancels it."""
    yielding: Yielding = Yielding.NONE
    """Only in SPEAKING."""
    yieldings: int = 0
    """Number of the newest duck or pause."""
    voice: bool = False
    """Only in SPEAKING: the microphone hears a person over the reply."""
    prolonged: bool = False
    """The pause has been prolonged, which happens once."""
    false_pauses: int = 0
    """Pauses of the reply that were no interruption."""
    tools: frozenset[str] = frozenset()
    """Ids of calls whose results the model waits for."""
    request: int = 0
    """Number of the newest wake word, press or text."""
    overtime: bool = False
    """Whether the time limit since then has passed."""
    unanswered: int = 0
    """Turns in a row without an answer."""
    interruptions: int = 0
    """Answers in a row since then that speech has interrupted."""
    answers: int = 0
    """Complete answers since then."""
    asker_unverified: bool = False
    """An answer was played, and no reply has begun since: who asks for the next one is unknown."""
    question: int = 0
    """Number of the person's newest question."""
    calls: int = 0
    """Tool calls for that question, refused ones included; at least the limit once its time has passed."""
    greeted: bool = False
    """The model has spoken in this conversation, or was sent the greeting."""
    tool_ran: bool = False
    """A tool was called for the current question, so that the question must not be sent again."""
    in_progress: bool = False
    """The service is still working on the request, although a turn of it may be over."""
    answer_pending: bool = False
    """The link was lost before the answer arrived: it is expected on the next one."""
    resumptions: int = 0
    """Times that the link was resumed since the last complete reply."""
    faults: frozenset[Fault] = frozenset()
    light_announced: bool = False
    """A spoken message has said that the light does not work."""
    delay: Trouble | None = None
    """Why the link is not open yet."""
    cap: Trouble | None = None
    """The reason to end the conversation after the current answer."""
    trouble: Trouble | None = None
    """The trouble that state TROUBLE shows."""


def disabled(context: Context) -> frozenset[Fault]:
    """Return the faults that prevent a conversation."""
    required = frozenset({Fault.LIGHT}) if context.policy.light_required else frozenset()
    return context.faults & (DISABLING | required)


def gate(context: Context) -> Gate:
    """Return the gate for microphone samples."""
    match context.state:
        case State.CONNECTING | State.RECONNECTING:
            return Gate.HOLD
        case State.LISTENING | State.INTERRUPTED | State.THINKING if context.mode is Mode.HANDS_FREE:
            return Gate.OPEN
        case State.LISTENING | State.INTERRUPTED if context.talk is Talk.HELD:
            return Gate.OPEN
        case State.SPEAKING if context.mode is Mode.HANDS_FREE and context.overlap is not Overlap.NONE:
            return Gate.OPEN
        case _:
            return Gate.OPEN if voice_interrupts(context) else Gate.CLOSED


def voice_interrupts(context: Context) -> bool:
    """Return whether a reply is being played that speech may interrupt."""
    plays = context.state is State.SPEAKING and context.mode is Mode.HANDS_FREE
    trusted = context.echo_cancelled and context.interruptions < context.policy.trusted_interruptions
    return plays and trusted and context.policy.barge_in is BargeIn.VOICE


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


def describe(context: Context) -> str:
    """Return the state on one line, with the faults if it is FAULT."""
    faults = ", ".join(sorted(fault.value for fault in context.faults))
    return f"{context.state.value}: {faults}" if context.state is State.FAULT and faults else context.state.value


def greets(context: Context) -> bool:
    """Return whether the greeting is sent if nobody speaks."""
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
