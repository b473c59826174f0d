"""The session manager's neighbours: the uplink, playback, and callbacks for what happens in a session."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from appliance.audio.ports import UplinkSink
from appliance.core.events import Event
from appliance.errors import ApplianceError
from appliance.live.messages import ToolCall
from appliance.live.ports import Turn
from appliance.units import Epoch, Seconds


class Uplink(Protocol):
    """The uplink, as the session manager needs it."""

    def attach(self, sink: UplinkSink) -> None:
        """Send through this link from now on."""

    def detach(self) -> None:
        """Stop sending; what was not sent stays."""

    async def drained(self) -> None:
        """Return once all that belongs to finished turns is sent, or nothing is attached."""

    def answering(self, undelivered: int) -> None:
        """Note that all sent so far is being answered, except for the newest ``undelivered`` samples."""

    def answered(self) -> None:
        """Note that the answer is complete: what it answers is not sent again."""

    def resend_turn(self, newest_s: Seconds | None = None) -> Seconds:
        """Send again what has no answer, or the newest of it; return how long that takes."""

    def handle_came(self, unknown: int) -> None:
        """A handle has come: its session knows all that was sent, but for the newest ``unknown`` samples."""

    def requeue(self, samples: int, *, to_handle: bool = False) -> Seconds:
        """Detach, and queue the newest ``samples`` again, which have not arrived; return how long sending takes."""


class Playback(Protocol):
    """Playback, as the session manager needs it."""

    async def write(self, epoch: Epoch, pcm: bytes) -> None:
        """Take s16le, 24 kHz mono; wait while the ring is full, drop what belongs to a reply that was flushed."""

    def heard(self, epoch: Epoch, now: Seconds) -> int:
        """Return how many samples of a reply have been heard."""


@dataclass(frozen=True, slots=True)
class Callbacks:
    """Receivers of what happens in a session. All are called on the loop's thread and return at once."""

    post: Callable[[Event], None]
    """Acts upon the event before it returns, and may give orders meanwhile: between an interruption and the emptied
    playback there is no await."""
    on_tool_call: Callable[[ToolCall], None]
    """Called before `ToolsCalled` is posted."""
    on_session: Callable[[], None]
    """A session begins that knows of no earlier tool call."""
    on_said: Callable[[Turn], None]
    """Takes a turn once it is complete. It holds words that people speak: not for the log by default."""
    on_error: Callable[[ApplianceError], None]
    """Takes the reason why an attempt to open a link failed, or a link was lost; called before that is posted."""


@dataclass(frozen=True, slots=True)
class SessionCounts:
    """Counters since the start."""

    audio_bytes_dropped: int
    """Bytes of replies that were interrupted."""
    tool_results_dropped: int
    """For lack of the session that asked."""
    texts_dropped: int
    """For lack of a link."""
    swaps: int
    """Links that were replaced without the conversation knowing."""
