"""The session's transition table and `step`: whose turn it is in a Live session, and what follows from it.

`step` is pure and total. For every phase of the model's turn and every fact there is a row, and a row that changes
nothing says why. The person's turn, the wait for an answer, and tools are orthogonal to the phase.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from appliance.live import messages
from appliance.live.session import facts, transitions
from appliance.live.session.answers import Step
from appliance.live.session.facts import Fact, FirstAudio, Output, ReplyDiscarded
from appliance.live.session.state import Limits, Phase, SessionState
from appliance.units import Seconds


@dataclass(frozen=True, slots=True)
class Row:
    """A fact's effect in a phase: a function, and the phases it may lead to (for the docs; a test checks them)."""

    action: Callable[[SessionState, Any, Seconds], Step]
    to: tuple[Phase, ...]


def _row(
    action: Callable[[SessionState, Any, Seconds], Step], *phases: Phase, to: Phase | None = None
) -> dict[Phase, Row | str]:
    """Return the same row for several phases, or for all; without ``to`` it stays."""
    return {phase: Row(action, (phase if to is None else to,)) for phase in phases or Phase}


def _no(*phases: Phase, why: str) -> dict[Phase, Row | str]:
    return dict.fromkeys(phases, why)


NONE, REPLYING, FINISHED, DISCARDED, INTERRUPTED = Phase

TABLE: Final[dict[type[Fact], dict[Phase, Row | str]]] = {
    # The model's turn
    messages.ReplyAudio: _row(transitions.begin_reply, NONE, FINISHED, to=REPLYING)
    | _row(transitions.go_on, REPLYING)
    | _row(transitions.drop, DISCARDED)
    | {INTERRUPTED: Row(transitions.drop_or_begin, (INTERRUPTED, REPLYING))},
    FirstAudio: _row(transitions.hand_on, REPLYING)
    | _row(transitions.drop, DISCARDED)
    | _no(NONE, FINISHED, INTERRUPTED, why="it follows the start of its reply at once"),
    messages.GenerationComplete: _row(transitions.generation_ended, NONE)
    | _row(transitions.generation_ended, REPLYING, FINISHED, DISCARDED, INTERRUPTED, to=FINISHED),
    messages.TurnComplete: _row(transitions.turn_without_reply_ended, NONE)
    | _row(transitions.turn_ended, REPLYING, FINISHED, DISCARDED, INTERRUPTED, to=NONE),
    messages.Interrupted: _row(transitions.interrupt, NONE, FINISHED, to=FINISHED)
    | _row(transitions.interrupt, REPLYING, DISCARDED, INTERRUPTED, to=INTERRUPTED),
    ReplyDiscarded: _row(transitions.discard, REPLYING, to=DISCARDED)
    | _no(NONE, FINISHED, DISCARDED, INTERRUPTED, why="no audio of a reply is on its way"),
    messages.StatusReported: _row(transitions.status_reported),
    messages.WaitingForInput: _row(transitions.input_awaited),
    messages.Thinking: _row(transitions.thinks),
    messages.SpokenText: _row(transitions.lives),
    messages.Grounding: _row(transitions.lives),
    messages.UsageReported: _row(transitions.lives),
    # The person's turn
    messages.SpeechStarted: _row(transitions.speech_started),
    messages.SpeechEnded: _row(transitions.speech_ended) | _row(transitions.speech_ended, INTERRUPTED, to=FINISHED),
    messages.HeardText: _row(transitions.words_heard) | _row(transitions.words_heard, INTERRUPTED, to=FINISHED),
    facts.TurnTaken: _row(transitions.take_turn),
    facts.TurnEnded: _row(transitions.end_turn),
    facts.TextSent: _row(transitions.send_text),
    facts.SpeechResent: _row(transitions.resend),
    facts.SpeechMeasured: _row(transitions.measure_speech),
    # Tools
    messages.ToolCall: _row(transitions.tool_called)
    | {INTERRUPTED: Row(transitions.tool_called, (INTERRUPTED, FINISHED))},
    messages.ToolCallsCancelled: _row(transitions.tools_cancelled),
    facts.ToolAnswered: _row(transitions.tool_answered),
    # The connection
    facts.ConversationStarted: _row(transitions.begin_conversation, to=NONE),
    facts.ConnectionOpened: _row(transitions.open_connection, to=NONE),
    facts.ConnectionClosed: _row(transitions.close_connection),
    messages.HandleUpdated: _row(transitions.handle_updated),
    messages.GoAway: _row(transitions.going_away),
    facts.RotationWanted: _row(transitions.want_rotation),
    facts.Ticked: _row(transitions.tick),
}


def step(state: SessionState, fact: Fact, now: Seconds) -> tuple[SessionState, tuple[Output, ...]]:
    """Return the state after ``fact``, and the outputs to execute in order; pure and total."""
    row = TABLE[type(fact)][state.connection.phase]
    return (state, ()) if isinstance(row, str) else row.action(state, fact, now)


class SessionMachine:
    """Holds the state of a session; loop thread only."""

    def __init__(self, limits: Limits) -> None:
        self.state = SessionState(limits)

    def step(self, fact: Fact, now: Seconds) -> tuple[Output, ...]:
        """Take a fact; return the outputs, which the caller executes in order."""
        self.state, outputs = step(self.state, fact, now)
        return outputs
