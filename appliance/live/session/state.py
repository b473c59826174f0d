"""The state of a Live session: whose turn it is, as far as that is known. Frozen; times are monotonic.

`machine.step` replaces the state, with each fact, by the next one.
"""

from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any, Final

from appliance.core.state import Mode
from appliance.live.connecting.rotation import Busy, Notice, RotationDue, RotationInputs, due
from appliance.live.session.voice_activity import VoiceActivity
from appliance.units import Epoch, Seconds

_START: Final = Seconds(0.0)
_NO_REPLY: Final = Epoch(0)
_NOTHING_HEARD: Final = VoiceActivity()


@dataclass(frozen=True, slots=True)
class Limits:
    """Time limits in seconds, and the level below which audio is mute."""

    reply_s: float = 6.5
    """From the last sign of life to the next; with the way to the person 8 s at most."""
    stuck_s: float = 30.0
    """From the end of speech to an answer, whatever signs of life there are."""
    mute_dbfs: float = -60.0
    mute_s: float = 2.0
    """This much audio without a sound is a mute reply, and less if there is no more."""
    interruption_s: float = 2.0
    """An interruption this long after the last speech is suspected to be false."""
    interruption_turns: int = 2
    """Turns without audio that confirm the suspicion."""


class Phase(Enum):
    """The model's turn."""

    NONE = "none"
    """The model has no turn, or has sent no audio in it."""
    REPLYING = "replying"
    """Audio of a reply comes, and is played."""
    FINISHED = "finished"
    """No more audio comes; the service has yet to say that the turn is complete."""
    DISCARDED = "discarded"
    """We have ended the reply; its audio is dropped until the service has noticed."""
    INTERRUPTED = "interrupted"
    """The service has ended the reply; audio that was under way is dropped."""


class Person(Enum):
    """The person's turn, as the service hears it."""

    QUIET = "quiet"
    SPEAKING = "speaking"
    DONE = "done"
    """Further transcripts of the turn are late."""


@dataclass(frozen=True, slots=True)
class Connection:
    """All that ends with a connection."""

    link: int = 0
    """Id of the link, which may be served by several connections, one after the other."""
    mode: Mode = Mode.HANDS_FREE
    several_turns: bool = False
    """The model may take several turns for one request."""
    phase: Phase = Phase.NONE
    stale_at: Seconds = _START
    """When the service interrupted the reply, or sent the last audio that was dropped."""
    generating: bool = False
    """The model thinks, or sends audio."""
    audible: bool = False
    """There was something to hear in the model's turn."""
    mute_s: float = 0.0
    """Audio of the model's turn without a sound."""
    person: Person = Person.QUIET
    calls: tuple[str, ...] = ()
    """Ids of the newest tool calls, oldest first."""
    # The service's status
    working_since: Seconds | None = None
    """Last sign of life while a request is in progress; None: none is, or the service was found to be stuck."""
    in_progress: bool = False
    """More turns come for the request."""
    status_known: bool = False
    """The status came since the last turn ended."""
    # False interruptions
    speech_at: Seconds | None = None
    """The last moment at which somebody was known to speak."""
    silent_turns: int | None = None
    """Turns without audio since an interruption while nobody spoke; None without one."""
    # Rotation
    opened_at: Seconds = _START
    notice: Notice | None = None
    rotate_since: Seconds | None = None
    """Another connection would be better."""
    resumable: bool = True


@dataclass(frozen=True, slots=True)
class SessionState:
    """Everything that outlives a connection; with ``connection`` all that is known."""

    limits: Limits = Limits()
    connection: Connection = Connection()
    voice: VoiceActivity = _NOTHING_HEARD
    """Speech at the microphone that has no answer yet."""
    # The person
    speaks: bool = False
    """The person is speaking, as far as is known."""
    noticed: bool = False
    """The service has heard what is being said, or what may be said is not for it."""
    reports_speech: bool = False
    """The service reports when speech begins, so that it should report its end as well."""
    first: bool = True
    """The model has not had a turn yet."""
    heard: bool = False
    """The service has given a sign of having heard what has no answer yet."""
    resending: bool = False
    """A turn was sent again, and has no answer yet."""
    asked_again: bool = False
    """Words that the service had missed were sent again since the last answer."""
    # Tools
    tools: frozenset[str] = frozenset()
    """Calls whose results have not been sent."""
    awaited: frozenset[str] = frozenset()
    """Those of them that were made for what the person said last."""
    tool_ran: bool = False
    """A tool was called for what the person said last: what it has done is not to be done twice."""
    # The wait for an answer
    waiting_since: Seconds | None = None
    """When the person stopped speaking; None: no answer is due."""
    progress_at: Seconds = _START
    """When the wait began, on this connection, or after the last tool."""
    alive_at: Seconds = _START
    """The last sign of life."""
    more_turns: bool = False
    """A turn is over, and the service works on: more is to come."""
    partly: bool = False
    """There was something to hear in such a turn."""
    retried: bool = False
    """The newest words of the person were sent again for want of an answer."""
    # The answer
    epoch: Epoch = _NO_REPLY
    """The newest reply."""
    audible_epoch: Epoch = _NO_REPLY
    """The newest reply in which there was something to hear."""
    answer_at: Seconds | None = None
    """The last sign of a turn of the model that answers what was said."""
    answering: bool = False
    """An answer has begun, by sound or by a tool call, and has not ended."""
    text: str | None = field(default=None, repr=False)
    """Words in writing that have no answer."""
    text_sent: bool = False
    """It was sent over this connection, or waits for one."""
    dropped_bytes: int = 0
    """Audio of replies that were over, since the start."""
    stalls: int = 0
    """Times that sending stalled since the last answer."""


def on_connection(state: SessionState, **changes: Any) -> SessionState:  # noqa: ANN401  as `replace`
    """Return the state with changes to its connection."""
    return replace(state, connection=replace(state.connection, **changes))


def waiting(state: SessionState) -> bool:
    """Return whether an answer is due."""
    return state.waiting_since is not None


def speech_begins(state: SessionState) -> bool:
    """Return whether somebody speaks at the microphone, or may be about to."""
    return state.speaks or state.voice.begins


def reply_due(state: SessionState) -> Seconds | None:
    """Return when a missing answer is a fault; None: no answer is due, or a tool runs for it."""
    if state.waiting_since is None or state.awaited:
        return None
    stuck_at = Seconds(state.progress_at + state.limits.stuck_s)
    reply_at = Seconds(state.alive_at + state.limits.reply_s)
    return min(reply_at, stuck_at) if state.connection.working_since is None else stuck_at


def stuck_due(state: SessionState) -> Seconds | None:
    """Return when a service that works on after its answer is stuck; while an answer is due, `reply_due` decides."""
    since = state.connection.working_since
    return None if since is None or waiting(state) else Seconds(since + state.limits.stuck_s)


def busy(state: SessionState) -> frozenset[Busy]:
    """Return the activity that a swap of connections would break."""
    connection = state.connection
    found = {
        Busy.PERSON: speech_begins(state),
        Busy.MODEL: connection.generating or connection.working_since is not None or waiting(state),
        Busy.TOOL: bool(state.tools),
        Busy.SESSION: not connection.resumable,
    }
    return frozenset(busy for busy, is_so in found.items() if is_so)


def rotation_due(state: SessionState, now: Seconds) -> RotationDue:
    """Return whether to swap the connection for another."""
    connection = state.connection
    return due(now, RotationInputs(connection.opened_at, busy(state), connection.notice, connection.rotate_since))
