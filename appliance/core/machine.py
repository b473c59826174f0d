"""The conversation's transition table and `step`, the only way to change a conversation.

Rule 1: every decision about what the appliance does next is made here and in the modules of transitions and steps; the
shell obeys.
Rule 2: `step` is pure and total. It reads no clock and uses no random numbers. Every (state, event) pair has a row, and
a row that changes nothing says why.
Rule 3: ids show which events are stale. An event about a link, reply, tool call or deadline that is no longer current
is ignored before the table is consulted.
Rule 4: every state except IDLE and STOPPED has one deadline, and the row of that deadline leaves the state or renews
it: no state can hang.
Rule 5: the push-to-talk turn (`Talk`) is orthogonal to the state. HELD occurs only where the person may speak:
CONNECTING, RECONNECTING, LISTENING and INTERRUPTED.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from appliance.core import (
    barge_in_transitions,
    fault_transitions,
    link_transitions,
    tool_transitions,
    transitions,
)
from appliance.core.effects import Ignored
from appliance.core.events import (
    EVENTS,
    ButtonPressed,
    ButtonReleased,
    CapReached,
    ConversationTimeOver,
    DeadlineReached,
    EchoReported,
    EndRequested,
    Event,
    FaultCleared,
    FaultRaised,
    InputAwaited,
    InteractionReported,
    LinkDelayed,
    LinkFailed,
    LinkLost,
    LinkOpened,
    NobodyAsked,
    OverlapEnded,
    PlaybackDrained,
    PlaybackStalled,
    Press,
    Ready,
    ReplyAudible,
    ReplyEnded,
    ReplyStarted,
    ServerInterrupted,
    StopRequested,
    TextEntered,
    ToolDone,
    ToolsCalled,
    ToolsCancelled,
    ToolSlow,
    ToolTimeOver,
    TurnRefused,
    Unanswered,
    UserSilent,
    UserSpeech,
    VoiceCeased,
    VoiceConfirmed,
    VoiceSuspected,
    WakeDetected,
    YieldingOver,
)
from appliance.core.state import Context, State, Talk, Yielding, wake_armed
from appliance.core.steps import Step, stay


@dataclass(frozen=True, slots=True)
class Row:
    """A transition: the function that makes it, and the states it may lead to (for the docs; verified by a test)."""

    action: Callable[[Context, Any], Step]
    to: tuple[State, ...]


def _no(*states: State, why: str) -> dict[State, Row | str]:
    return dict.fromkeys(states, why)


def _row(action: Callable[[Context, Any], Step], *states: State, to: tuple[State, ...] = ()) -> dict[State, Row | str]:
    """Return the same row for several states; each may also lead to itself."""
    return {state: Row(action, tuple(dict.fromkeys((state, *to)))) for state in states}


STARTING, IDLE, CONNECTING, LISTENING = State.STARTING, State.IDLE, State.CONNECTING, State.LISTENING
THINKING, SPEAKING, INTERRUPTED = State.THINKING, State.SPEAKING, State.INTERRUPTED
RECONNECTING, FAREWELL, TROUBLE = State.RECONNECTING, State.FAREWELL, State.TROUBLE
FAULT, STOPPED = State.FAULT, State.STOPPED

_REST: Final = (IDLE, FAULT)
_DIALOGUE: Final = (LISTENING, THINKING, SPEAKING, INTERRUPTED)
_WAITING: Final = (CONNECTING, RECONNECTING)
_NO_LINK: Final = (STARTING, IDLE, TROUBLE, FAULT)
_NO_LINK_YET: Final = (*_NO_LINK, *_WAITING)

_NOT_SPEAKING: Final = (*_NO_LINK_YET, LISTENING, THINKING, INTERRUPTED, FAREWELL)

_NO_REPLY_WHY = "no reply is being played that speech may interrupt"
_NO_LINK_WHY = "there is no open link"
_OPEN_WHY = "no link is being opened"
_ENDING_WHY = "the daemon is ending"

TABLE: Final[dict[type[Event], dict[State, Row | str]]] = {
    Ready: _row(fault_transitions.ready, STARTING, FAULT, to=(IDLE,))
    | _no(IDLE, *_WAITING, *_DIALOGUE, FAREWELL, TROUBLE, why="it is ready already"),
    FaultRaised: _row(fault_transitions.fault_raised, *(state for state in State if state is not STOPPED), to=(FAULT,)),
    FaultCleared: _row(fault_transitions.fault_cleared, *(state for state in State if state not in {FAULT, STOPPED}))
    | _row(fault_transitions.fault_cleared_at_rest, FAULT, to=(IDLE,)),
    StopRequested: _row(fault_transitions.stop, *(state for state in State if state is not STOPPED), to=(STOPPED,)),
    WakeDetected: _row(transitions.wake, IDLE, TROUBLE, FAREWELL, FAULT, to=(CONNECTING,))
    | _row(transitions.wake_again, LISTENING, THINKING, to=(LISTENING, CONNECTING))
    | _row(transitions.wake_while_speaking, SPEAKING, to=(INTERRUPTED, CONNECTING))
    | _no(STARTING, why="the appliance is not ready")
    | _no(*_WAITING, INTERRUPTED, why="the person may speak already"),
    ButtonPressed: _row(transitions.press, IDLE, TROUBLE, FAREWELL, FAULT, to=(CONNECTING,))
    | _row(transitions.press_while_connecting, *_WAITING)
    | _row(transitions.press_in_turn, LISTENING, INTERRUPTED)
    | _row(transitions.press_while_thinking, THINKING, to=(LISTENING,))
    | _row(transitions.press_while_speaking, SPEAKING, to=(INTERRUPTED,))
    | _no(STARTING, why="the appliance is not ready"),
    ButtonReleased: _row(transitions.release_while_connecting, *_WAITING, to=_REST)
    | _row(transitions.release, LISTENING, INTERRUPTED, to=(THINKING, *_REST))
    | _row(transitions.tap, THINKING, SPEAKING, to=_REST)  # a tap: the person's turn ended before the button came up
    | _no(STARTING, IDLE, FAREWELL, TROUBLE, FAULT, why="the press was over before"),
    LinkOpened: _row(link_transitions.link_opened, CONNECTING, to=(LISTENING, THINKING))
    | _row(link_transitions.link_opened_again, RECONNECTING, to=(LISTENING, THINKING, FAREWELL, TROUBLE))
    | _no(*_NO_LINK, *_DIALOGUE, FAREWELL, why=_OPEN_WHY),
    LinkDelayed: _row(link_transitions.link_delayed, *_WAITING) | _no(*_NO_LINK, *_DIALOGUE, FAREWELL, why=_OPEN_WHY),
    LinkFailed: _row(link_transitions.link_failed, *_WAITING, to=(TROUBLE,))
    | _no(*_NO_LINK, *_DIALOGUE, FAREWELL, why=_OPEN_WHY),
    LinkLost: _row(link_transitions.link_failed, *_WAITING, to=(TROUBLE,))
    | _row(link_transitions.link_lost, THINKING, INTERRUPTED, to=(TROUBLE, RECONNECTING))
    | _row(link_transitions.link_lost_while_listening, LISTENING, to=(TROUBLE, RECONNECTING, *_REST))
    | _row(link_transitions.link_lost_while_speaking, SPEAKING, to=(FAREWELL, TROUBLE, RECONNECTING))
    | _row(link_transitions.link_lost_in_farewell, FAREWELL, to=_REST)
    | _no(*_NO_LINK, why=_NO_LINK_WHY),
    UserSpeech: _row(transitions.user_speech, LISTENING, THINKING, to=(LISTENING, FAREWELL))
    | _row(transitions.user_speech_while_interrupted, INTERRUPTED)
    | _row(barge_in_transitions.user_speech_over_reply, SPEAKING, to=(INTERRUPTED,))
    | _no(FAREWELL, why="the service reports whether that interrupts the reply")
    | _no(*_NO_LINK_YET, why=_NO_LINK_WHY),
    UserSilent: _row(transitions.user_silent, LISTENING, INTERRUPTED, to=(THINKING,))
    | _no(THINKING, SPEAKING, FAREWELL, why="the person's turn is over")
    | _no(*_NO_LINK_YET, why=_NO_LINK_WHY),
    ReplyStarted: _row(transitions.reply_started, LISTENING, THINKING, INTERRUPTED, SPEAKING, to=(SPEAKING,))
    | _row(transitions.last_words, FAREWELL)
    | _no(*_NO_LINK_YET, why=_NO_LINK_WHY),
    ReplyAudible: _row(transitions.reply_audible, SPEAKING)
    | _no(*_NO_LINK_YET, LISTENING, THINKING, INTERRUPTED, FAREWELL, why="the microphone does not depend on it"),
    OverlapEnded: _row(transitions.overlap_ended, SPEAKING)
    | _no(*_NO_LINK_YET, LISTENING, THINKING, INTERRUPTED, FAREWELL, why="no reply is being played"),
    EchoReported: _row(barge_in_transitions.echo_reported, *(state for state in State if state is not STOPPED)),
    VoiceSuspected: _row(barge_in_transitions.voice_suspected, SPEAKING) | _no(*_NOT_SPEAKING, why=_NO_REPLY_WHY),
    VoiceConfirmed: _row(barge_in_transitions.voice_confirmed, SPEAKING) | _no(*_NOT_SPEAKING, why=_NO_REPLY_WHY),
    VoiceCeased: _row(barge_in_transitions.voice_ceased, SPEAKING) | _no(*_NOT_SPEAKING, why=_NO_REPLY_WHY),
    YieldingOver: _row(barge_in_transitions.yielding_over, SPEAKING) | _no(*_NOT_SPEAKING, why=_NO_REPLY_WHY),
    ReplyEnded: _row(transitions.reply_ended, SPEAKING)
    | _row(transitions.reply_ended_in_farewell, FAREWELL, to=_REST)
    | _row(transitions.turn_without_reply, LISTENING, THINKING, to=(LISTENING, FAREWELL, TROUBLE, *_REST))
    | _no(INTERRUPTED, why="that reply was cut off")
    | _no(*_NO_LINK_YET, why=_NO_LINK_WHY),
    ServerInterrupted: _row(transitions.server_interrupted, SPEAKING, to=(INTERRUPTED,))
    | _row(transitions.leave_now, FAREWELL, to=_REST)
    | _no(LISTENING, THINKING, INTERRUPTED, why="nothing is being played")
    | _no(*_NO_LINK_YET, why=_NO_LINK_WHY),
    Unanswered: _row(link_transitions.unanswered, THINKING, SPEAKING, to=(RECONNECTING, TROUBLE, *_REST))
    | _no(LISTENING, INTERRUPTED, FAREWELL, why="nobody waits for an answer")
    | _no(*_NO_LINK_YET, why=_NO_LINK_WHY),
    InteractionReported: _row(link_transitions.interaction_reported_while_listening, LISTENING, to=(THINKING,))
    | _row(link_transitions.interaction_reported_while_thinking, THINKING, to=(LISTENING, FAREWELL, TROUBLE))
    | _row(link_transitions.interaction_reported, SPEAKING, INTERRUPTED, FAREWELL)
    | _no(*_NO_LINK_YET, why=_NO_LINK_WHY),
    InputAwaited: _row(link_transitions.input_awaited, THINKING, to=(LISTENING, FAREWELL, TROUBLE))
    | _no(LISTENING, INTERRUPTED, why="it is the person's turn")
    | _no(SPEAKING, FAREWELL, why="an answer is being spoken")
    | _no(*_NO_LINK_YET, why=_NO_LINK_WHY),
    TurnRefused: _row(link_transitions.turn_refused, LISTENING, THINKING, to=(TROUBLE,))
    | _row(link_transitions.turn_refused_in_a_reply, SPEAKING)
    | _no(INTERRUPTED, why="it is the person's turn")
    | _no(FAREWELL, why="the conversation is ending")
    | _no(*_NO_LINK_YET, why=_NO_LINK_WHY),
    CapReached: _row(transitions.cap_reached, LISTENING, to=(TROUBLE,))
    | _row(transitions.cap_reached_in_a_turn, THINKING, SPEAKING, INTERRUPTED)
    | _no(FAREWELL, why="the conversation is ending")
    | _no(*_NO_LINK_YET, why=_NO_LINK_WHY),
    TextEntered: _row(transitions.text, IDLE, TROUBLE, FAREWELL, FAULT, to=(CONNECTING,))
    | _row(transitions.text_while_connecting, *_WAITING)
    | _row(transitions.text_in_dialogue, *_DIALOGUE, to=(THINKING,))
    | _no(STARTING, why="the appliance is not ready"),
    ToolsCalled: _row(tool_transitions.tools_called_in_silence, LISTENING, THINKING, to=(THINKING, TROUBLE))
    | _row(tool_transitions.tools_called, SPEAKING, INTERRUPTED, FAREWELL, to=(TROUBLE,))
    | _no(*_NO_LINK_YET, why=_NO_LINK_WHY),
    ToolsCancelled: _row(tool_transitions.tools_cancelled, *_DIALOGUE, FAREWELL) | _no(*_NO_LINK_YET, why=_NO_LINK_WHY),
    ToolDone: _row(tool_transitions.tool_done, RECONNECTING, *_DIALOGUE, FAREWELL)
    | _no(CONNECTING, *_NO_LINK, why="its call ended with the conversation"),
    ToolSlow: _row(tool_transitions.tool_slow, THINKING)
    | _no(LISTENING, SPEAKING, INTERRUPTED, FAREWELL, why="there is no silence to fill")
    | _no(*_NO_LINK_YET, why=_NO_LINK_WHY),
    ToolTimeOver: _row(tool_transitions.tool_time_over, RECONNECTING, *_DIALOGUE, FAREWELL)
    | _no(CONNECTING, *_NO_LINK, why="the conversation with that question is over"),
    NobodyAsked: _row(transitions.nobody_asked, SPEAKING, to=_REST)
    | _no(LISTENING, THINKING, INTERRUPTED, FAREWELL, why="that answer is not being played")
    | _no(*_NO_LINK_YET, why=_NO_LINK_WHY),
    ConversationTimeOver: _row(transitions.lasted_long, LISTENING, to=(FAREWELL,))
    | _row(transitions.lasts_long, RECONNECTING, THINKING, SPEAKING, INTERRUPTED)
    | _no(CONNECTING, why="the conversation has only begun")
    | _no(*_NO_LINK, FAREWELL, why="the conversation is over or ending"),
    EndRequested: _row(transitions.end_requested, *_DIALOGUE, to=(FAREWELL,))
    | _row(transitions.leave_now, *_WAITING, to=_REST)
    | _no(*_NO_LINK, FAREWELL, why="the conversation is over or ending"),
    PlaybackDrained: _row(transitions.drained, SPEAKING, to=(LISTENING, THINKING, FAREWELL, TROUBLE))
    | _row(transitions.leave_now, FAREWELL, to=_REST)
    | _no(*_NO_LINK_YET, LISTENING, THINKING, INTERRUPTED, why="no reply is being played"),
    PlaybackStalled: _row(link_transitions.stalled, SPEAKING, to=(RECONNECTING, TROUBLE))
    | _row(transitions.leave_now, FAREWELL, to=_REST)
    | _no(*_NO_LINK_YET, LISTENING, THINKING, INTERRUPTED, why="no reply is being played"),
    DeadlineReached: _row(fault_transitions.start_took_too_long, STARTING, to=(FAULT,))
    | _row(link_transitions.connecting_took_too_long, *_WAITING, to=(TROUBLE,))
    | _row(transitions.nobody_speaks, LISTENING, to=(THINKING, *_REST))
    | _row(transitions.leave_now, SPEAKING, FAREWELL, to=_REST)
    | _row(transitions.no_answer, THINKING, to=(TROUBLE,))
    | _row(transitions.interruption_seen, INTERRUPTED, to=(LISTENING, THINKING, FAREWELL, TROUBLE))
    | _row(transitions.trouble_announced, TROUBLE, to=_REST)
    | _row(fault_transitions.recover, FAULT)
    | _no(IDLE, why="a resting state has no deadline"),
}
for _event in EVENTS:
    TABLE[_event] |= _no(STOPPED, why=_ENDING_WHY)


def step(context: Context, event: Event) -> Step:
    """Return the context after ``event``, and the effects to execute in order; pure and total."""
    stale = _stale_reason(context, event)
    if stale is not None:
        return stay(context, Ignored(stale))
    row = TABLE[type(event)][context.state]
    if isinstance(row, str):
        return stay(context, Ignored(row))
    return row.action(context, event)


def _stale_reason(context: Context, event: Event) -> str | None:
    """Return why an event is stale, or None if it is current."""
    match event:
        case _ if context.state is State.STOPPED:
            return _ENDING_WHY
        case DeadlineReached() | ToolTimeOver() | ConversationTimeOver() | YieldingOver() if _timed_earlier(
            context, event
        ):
            return "stale: that deadline was replaced"
        case ReplyAudible() | PlaybackDrained() | PlaybackStalled() if not event.epoch or event.epoch != context.epoch:
            return "stale: that reply is over"
        case ToolDone(call) | ToolSlow(call) if call not in context.tools:
            return "stale: that tool call is over"
        case ButtonReleased(Press.HOLD, _) if context.talk is not Talk.HELD:
            return "the press was over before"
        case WakeDetected() if not wake_armed(context):
            return "the wake word is not armed"
        case _ if _link_of(event) not in {None, context.link if context.linked else 0}:
            return "stale: that link is gone"
        case _:
            return None


def _timed_earlier(
    context: Context, event: DeadlineReached | ToolTimeOver | ConversationTimeOver | YieldingOver
) -> bool:
    match event:
        case DeadlineReached(entry):
            return entry != context.entry
        case ToolTimeOver(question):
            return question != context.question
        case ConversationTimeOver(request):
            return request != context.request
        case YieldingOver(number):
            return context.yielding is Yielding.NONE or number != context.yieldings


def _link_of(event: Event) -> int | None:
    match event:
        case LinkOpened(link, _) | LinkDelayed(link, _) | LinkFailed(link, _) | LinkLost(link, _, _, _):
            return link
        case UserSpeech(link) | UserSilent(link) | Unanswered(link, _, _) | CapReached(link, _):
            return link
        case ReplyStarted(link, _) | ReplyEnded(link, _) | ServerInterrupted(link):
            return link
        case NobodyAsked(link):
            return link
        case ToolsCalled(link, _) | ToolsCancelled(link, _) | InteractionReported(link, _):
            return link
        case InputAwaited(link) | TurnRefused(link):
            return link
        case _:
            return None
