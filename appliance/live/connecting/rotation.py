"""When to replace a connection by the next, unnoticed. Pure; times are monotonic.

The old connection must be closed before the new one can resume its session, which takes seconds. So a swap waits for
silence. Playback continues meanwhile, and speech is buffered.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Final

from appliance.units import Seconds

MAX_AGE_S: Final = 540.0
"""Connections last about ten minutes (ai.google.dev, Live API, session management): swap in silence before that."""
_RESERVE_S: Final = 5.0
"""Part of goAway's remaining time that is left for closing; at most half of it."""


class Busy(Enum):
    """Activity that a swap would break."""

    PERSON = "person"
    """The person speaks, or holds the button."""
    MODEL = "model"
    """The model answers: it thinks, or sends audio. Audio that only remains to be played does not count."""
    TOOL = "tool"
    """A tool runs, or its result is not sent yet."""
    SESSION = "session"
    """The service cannot resume the session now: a swap would lose its newest turn."""


@dataclass(frozen=True, slots=True)
class Notice:
    """A goAway of the service."""

    received_at: Seconds
    time_left: Seconds

    @property
    def deadline(self) -> Seconds:
        """The latest time for a swap."""
        return Seconds(self.received_at + max(self.time_left - _RESERVE_S, self.time_left / 2))


@dataclass(frozen=True, slots=True)
class RotationInputs:
    """The facts that the decision depends on."""

    opened_at: Seconds
    busy: frozenset[Busy] = frozenset()
    notice: Notice | None = None
    wanted_since: Seconds | None = None
    """When a watchdog asked for a new connection."""


class Swap(Enum):
    """When to swap."""

    NOW = "now"
    """Nothing is going on."""
    LATER = "later"
    FORCED = "forced"
    """Time is up, whatever is going on."""


@dataclass(frozen=True, slots=True)
class RotationDue:
    """The decision. Ask again when a fact changes, and at ``at`` at the latest."""

    swap: Swap
    at: Seconds | None = None
    """None: only a changed fact can lead to a swap."""


def due(now: Seconds, facts: RotationInputs) -> RotationDue:
    """Decide whether to swap."""
    notice = facts.notice
    if notice and now >= notice.deadline:
        return RotationDue(Swap.FORCED)
    limit = facts.opened_at + MAX_AGE_S
    if notice or facts.wanted_since is not None or now >= limit:
        return RotationDue(Swap.LATER, notice.deadline if notice else None) if facts.busy else RotationDue(Swap.NOW)
    return RotationDue(Swap.LATER, Seconds(limit))
