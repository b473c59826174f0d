"""When to swap one connection for the next, so that nobody notices. Pure; times are monotonic.

The old connection has to be closed before the new one can go on with its session, and that takes seconds. So a swap
waits for silence; what is being played goes on, and what is said meanwhile is held.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Final

from appliance.units import Seconds

MAX_AGE_S: Final = 540.0
"""Connections last ten minutes or so (ai.google.dev, Live API, session management): better in silence before that."""
_RESERVE_S: Final = 5.0
"""Kept of the time that a goAway leaves: for closing, or half of a short time."""


class Busy(Enum):
    """What a swap would break."""

    PERSON = "person"
    """The person speaks, or holds the button."""
    MODEL = "model"
    """The model answers: it thinks, or sends audio. What has only to be played still is no reason."""
    TOOL = "tool"
    """A tool runs, or its result is not sent yet."""
    SESSION = "session"
    """The service cannot resume the session from where it stands: a swap would lose the newest turn of its memory."""


@dataclass(frozen=True, slots=True)
class Notice:
    """The service's goAway."""

    received_at: Seconds
    time_left: Seconds

    @property
    def deadline(self) -> Seconds:
        """The last moment to swap in."""
        return Seconds(self.received_at + max(self.time_left - _RESERVE_S, self.time_left / 2))


@dataclass(frozen=True, slots=True)
class RotationInputs:
    """What a decision depends on."""

    opened_at: Seconds
    busy: frozenset[Busy] = frozenset()
    notice: Notice | None = None
    wanted_since: Seconds | None = None
    """A watchdog would rather have a new connection."""


class Swap(Enum):
    """What to do with the connection."""

    NOW = "now"
    """All is quiet."""
    LATER = "later"
    FORCED = "forced"
    """Time is up, whatever is going on."""


@dataclass(frozen=True, slots=True)
class RotationDue:
    """A decision; to be asked for again when a fact changes, and at ``at`` at the latest."""

    swap: Swap
    at: Seconds | None = None
    """None: only a change of facts can bring a swap."""


def due(now: Seconds, facts: RotationInputs) -> RotationDue:
    """Return whether to swap."""
    notice = facts.notice
    if notice and now >= notice.deadline:
        return RotationDue(Swap.FORCED)
    limit = facts.opened_at + MAX_AGE_S
    if notice or facts.wanted_since is not None or now >= limit:
        return RotationDue(Swap.LATER, notice.deadline if notice else None) if facts.busy else RotationDue(Swap.NOW)
    return RotationDue(Swap.LATER, Seconds(limit))
