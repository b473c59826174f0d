"""Effects: actions that the conversation core wants taken once. Frozen, imperative; the shell executes them in order.

Whatever lasts as long as a state (light, gate, deadline) follows from the context instead (`core/state.py`).
"""

from dataclasses import dataclass, field
from enum import Enum

from appliance.core.events import ConversationTimeOver, Fault, ToolTimeOver, Trouble, YieldingOver
from appliance.core.state import Mode, State


class Earcon(Enum):
    """A short sound that means something."""

    WAKE = "wake"
    """The wake word or the button was noticed."""
    END = "end"
    """The conversation is over."""
    ERROR = "error"
    """Something went wrong."""
    WORKING = "working"
    """A tool takes its time."""


class Session(Enum):
    """The session that a link should continue, as far as possible."""

    CONTINUE_IF_RECENT = "continue-if-recent"
    """The session of the last conversation if it was recent, else a new one: another conversation begins."""
    RESUME = "resume"
    """The session of the last link: the conversation continues."""
    NEW = "new"
    """A new session that is given the transcript: the last one does not answer."""


@dataclass(frozen=True, slots=True)
class Enter:
    """A state begins, or begins again: show it, and post `DeadlineReached(entry)` after ``deadline_s`` unless None."""

    state: State
    entry: int
    deadline_s: float | None


@dataclass(frozen=True, slots=True)
class OpenLink:
    """Fetch a token and open link ``link``."""

    link: int
    mode: Mode
    session: Session


@dataclass(frozen=True, slots=True)
class CloseLink:
    """Close the link once all captured audio has been sent; it posts no more events."""

    link: int


@dataclass(frozen=True, slots=True)
class BeginSpeech:
    """The person's turn begins at microphone sample ``at``; in push-to-talk mode, activity_start goes before it."""

    at: int
    mode: Mode


@dataclass(frozen=True, slots=True)
class EndSpeech:
    """A push-to-talk turn ends before microphone sample ``at``; activity_end follows its last sample."""

    at: int


@dataclass(frozen=True, slots=True)
class SendText:
    """Send a text as soon as there is a link."""

    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class ResendTurn:
    """Send again what the person said since the last answer."""


@dataclass(frozen=True, slots=True)
class AwaitMore:
    """Restart the stall timer of the reply being played: a tool runs, or its result has just been sent."""


@dataclass(frozen=True, slots=True)
class ResendUnconfirmed:
    """Send again what the person is saying, from its beginning: the session that heard it is lost."""


@dataclass(frozen=True, slots=True)
class DropUnsent:
    """Discard speech that was not sent yet: it stays on the device."""


@dataclass(frozen=True, slots=True)
class FlushPlayback:
    """Empty the reply buffer at once, with a fade; replies after that are neither ducked nor paused."""


@dataclass(frozen=True, slots=True)
class DuckPlayback:
    """Turn the reply down, so that the microphone hears the person better."""


@dataclass(frozen=True, slots=True)
class PausePlayback:
    """Silence the reply at once, and keep what was not heard of it."""


@dataclass(frozen=True, slots=True)
class ResumePlayback:
    """Play the reply at its full volume again; after a pause, from shortly before it."""


@dataclass(frozen=True, slots=True)
class DiscardReply:
    """Drop the rest of the model's current turn: it was interrupted here, and the service does not know yet."""


@dataclass(frozen=True, slots=True)
class FinishReply:
    """Reply ``epoch`` is complete: play it to the end, then post `PlaybackDrained`."""

    epoch: int


@dataclass(frozen=True, slots=True)
class PlayEarcon:
    """Play a short sound."""

    earcon: Earcon


@dataclass(frozen=True, slots=True)
class Announce:
    """Play a spoken message about the trouble or fault."""

    trouble: Trouble | Fault


@dataclass(frozen=True, slots=True)
class StartTools:
    """Run these calls; post `ToolDone` for each."""

    calls: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RefuseTools:
    """Run none of these calls, answer each with an error for the model; post `ToolDone` for each."""

    calls: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CancelTools:
    """Stop these calls and discard their results."""

    calls: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SendToolResult:
    """Send the result of a finished call."""

    call: str


@dataclass(frozen=True, slots=True)
class CheckWhoAsked:
    """Check whether the microphone has heard a person since the last answer; post `NobodyAsked` if it has not."""


@dataclass(frozen=True, slots=True)
class StartTimer:
    """Post ``expiry`` after ``after_s``, replacing an earlier timer of its kind; a stale one is ignored."""

    expiry: ToolTimeOver | ConversationTimeOver | YieldingOver
    after_s: float


@dataclass(frozen=True, slots=True)
class Recover:
    """Try to bring failed devices back."""


@dataclass(frozen=True, slots=True)
class Ignored:
    """The event changes nothing, for this reason; logged at DEBUG."""

    reason: str


Effect = (
    Enter
    | OpenLink
    | CloseLink
    | BeginSpeech
    | EndSpeech
    | SendText
    | ResendTurn
    | ResendUnconfirmed
    | AwaitMore
    | DropUnsent
    | FlushPlayback
    | DuckPlayback
    | PausePlayback
    | ResumePlayback
    | DiscardReply
    | FinishReply
    | PlayEarcon
    | Announce
    | StartTools
    | RefuseTools
    | CancelTools
    | SendToolResult
    | CheckWhoAsked
    | StartTimer
    | Recover
    | Ignored
)
