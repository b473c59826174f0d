"""What is to be done once, as the conversation core orders it. Frozen, imperative; executed in order by the shell.

What lasts as long as a state (light, gate, deadline) is no effect: it follows from the context (`core/state.py`).
"""

from dataclasses import dataclass, field
from enum import Enum

from appliance.core.events import ConversationTimeOver, Fault, ToolTimeOver, Trouble
from appliance.core.state import Mode, State


class Earcon(Enum):
    """A short sound of our own."""

    WAKE = "wake"
    """The wake word or the button was noticed."""
    END = "end"
    """The conversation is over."""
    ERROR = "error"
    """Something went wrong."""
    WORKING = "working"
    """A tool takes its time."""


class Session(Enum):
    """Which of the service's sessions a link goes on with, as far as that can be had."""

    CONTINUE_IF_RECENT = "continue-if-recent"
    """That of the last conversation, if it is remembered still: another conversation begins."""
    RESUME = "resume"
    """That of the link before: the conversation goes on."""
    NEW = "new"
    """A new one, which is told what was said: the one before does not answer."""


@dataclass(frozen=True, slots=True)
class Enter:
    """A state begins, or begins anew: show it, and post `DeadlineReached(entry)` after ``deadline_s`` if not None."""

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
    """Close the link once what was captured has been sent; nothing more is heard of it."""

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
    """Send what somebody says in writing, as soon as there is a link."""

    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class ResendTurn:
    """Send once more what the person said since the last answer."""


@dataclass(frozen=True, slots=True)
class AwaitMore:
    """Give the reply that is being played its time anew: a tool runs, or its result has just been sent."""


@dataclass(frozen=True, slots=True)
class ResendUnconfirmed:
    """Send what the person is saying once more from its beginning: the session that has heard it is lost."""


@dataclass(frozen=True, slots=True)
class DropUnsent:
    """Send no more of what the person said: what has not left this device stays here."""


@dataclass(frozen=True, slots=True)
class FlushPlayback:
    """Empty the playback ring at once, with a fade."""


@dataclass(frozen=True, slots=True)
class DiscardReply:
    """Drop what still comes of the model's current turn: we ended it, the service does not know yet."""


@dataclass(frozen=True, slots=True)
class FinishReply:
    """Reply ``epoch`` has all its audio: play it to the end, then post `PlaybackDrained`."""

    epoch: int


@dataclass(frozen=True, slots=True)
class PlayEarcon:
    """Play a short sound."""

    earcon: Earcon


@dataclass(frozen=True, slots=True)
class Announce:
    """Tell the household what is wrong, in words."""

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
    """Stop these calls; their results are not wanted."""

    calls: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SendToolResult:
    """Send the result of a call that has ended."""

    call: str


@dataclass(frozen=True, slots=True)
class CheckWhoAsked:
    """Compare what the microphone has heard since the last answer with that answer; post `NobodyAsked` accordingly."""


@dataclass(frozen=True, slots=True)
class StartTimer:
    """Post ``expiry`` after ``after_s``, in place of an earlier one of its kind; one that is late is ignored."""

    expiry: ToolTimeOver | ConversationTimeOver
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
