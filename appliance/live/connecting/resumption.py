"""Which session a connection may go on with, and how far down to climb when that fails. Pure; times are monotonic.

A handle and a re-seeded transcript are never used together: the service refuses the second history.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from types import MappingProxyType
from typing import Final

from appliance.errors import LinkAction
from appliance.units import Seconds

VALID_S: Final = 2 * 3600.0
"""The service forgets a session so long after its last connection ended (ai.google.dev, Live API, session management,
October 2026)."""
_MARGIN_S: Final = 60.0
"""A resumption that is refused costs a household more than one that is not tried."""


@dataclass(frozen=True, slots=True)
class Handle:
    """What names a session to the service."""

    value: str = field(repr=False)
    received_at: Seconds
    config: str
    """Names the set-up that the session began with; another one cannot go on with it (`setup.config_hash`)."""


@dataclass(frozen=True, slots=True)
class ResumptionState:
    """The newest handle, and since when nobody talks. Replaced, never changed."""

    kept: Handle | None = None
    behind: bool = False
    """The service has since said that it cannot be resumed from where it stands: going on loses the turn under way."""
    hung_up_at: Seconds | None = None
    """None while a conversation goes on."""

    def updated(self, value: str | None, config: str, now: Seconds) -> "ResumptionState":
        """The service has sent a handle; None: it cannot be resumed now, and the one before is behind."""
        if value is None:
            return replace(self, behind=True)
        return replace(self, kept=Handle(value, now, config), behind=False)

    def conversation_ended(self, now: Seconds) -> "ResumptionState":
        """The conversation is over: from now on it is remembered for a while."""
        return replace(self, hung_up_at=now)

    def taken_up(self) -> "ResumptionState":
        """A conversation goes on."""
        return replace(self, hung_up_at=None)

    def dropped(self) -> "ResumptionState":
        """The handle is no good: refused at set-up, or the session that it led to did not answer."""
        return ResumptionState(hung_up_at=self.hung_up_at)

    def usable(self, config: str, memory_s: float, now: Seconds) -> Handle | None:
        """Return the handle to go on with; None where there is none, or it is too old or of another set-up.

        ``memory_s`` is how long a conversation is remembered once it is over.
        """
        handle = self.kept
        if handle is None or handle.config != config:
            return None
        if self.hung_up_at is not None and now - self.hung_up_at >= memory_s:
            return None
        return handle if now - handle.received_at < VALID_S - _MARGIN_S else None


class ResumeStrategy(Enum):
    """How one attempt to connect goes about it, from the most that can be kept of a conversation to the least."""

    SAME_TOKEN = "same-token"  # noqa: S105  a step
    """Resume with the handle and the token of the connection before."""
    NEW_TOKEN = "new-token"  # noqa: S105  a step
    """Resume with the handle and another token."""
    SEEDED = "seeded"
    """Another token, a new session, and the transcript; without a transcript the same as EMPTY."""
    EMPTY = "empty"
    """A token, a new session, and nothing else: also how a first connection begins."""
    LAST = "last"
    """As EMPTY with yet another token: the first one may have been at fault."""


HANDLE: Final = frozenset({ResumeStrategy.SAME_TOKEN, ResumeStrategy.NEW_TOKEN})
"""Rungs that bring the handle; SEEDED alone brings the transcript."""

_A = LinkAction
_Next = tuple[
    ResumeStrategy | None, ResumeStrategy | None, ResumeStrategy | None, ResumeStrategy | None, ResumeStrategy | None
]
_STAY: Final[_Next] = (
    ResumeStrategy.SAME_TOKEN,
    ResumeStrategy.NEW_TOKEN,
    ResumeStrategy.SEEDED,
    ResumeStrategy.EMPTY,
    ResumeStrategy.LAST,
)
_CLIMB: Final[_Next] = (
    ResumeStrategy.NEW_TOKEN,
    ResumeStrategy.SEEDED,
    ResumeStrategy.SEEDED,
    ResumeStrategy.EMPTY,
    ResumeStrategy.LAST,
)
_RENEW: Final[_Next] = (
    ResumeStrategy.NEW_TOKEN,
    ResumeStrategy.SEEDED,
    ResumeStrategy.EMPTY,
    ResumeStrategy.LAST,
    None,
)
_AFRESH: Final[_Next] = (ResumeStrategy.SEEDED, ResumeStrategy.SEEDED, ResumeStrategy.EMPTY, ResumeStrategy.LAST, None)
_REDUCE: Final[_Next] = (
    ResumeStrategy.SEEDED,
    ResumeStrategy.SEEDED,
    ResumeStrategy.EMPTY,
    ResumeStrategy.EMPTY,
    ResumeStrategy.LAST,
)
_NONE: Final[_Next] = (None, None, None, None, None)

FALLBACKS: Final[Mapping[LinkAction, _Next]] = MappingProxyType(
    {
        # The service fails: the handle may be why, the rest is not.
        _A.RETRY_NOW: _CLIMB,
        _A.BACK_OFF: _CLIMB,
        # Nothing was tried, so nothing is at fault.
        _A.WAIT_QUOTA: _STAY,
        _A.OFFLINE: _STAY,
        _A.CLOCK_WRONG: _STAY,
        _A.NEW_TOKEN: _RENEW,
        _A.FRESH_SESSION: _AFRESH,
        # The handle and the transcript go first; then `tiers` decides how often there is anything left to leave out.
        _A.DROP_TIER: _REDUCE,
        _A.GIVE_UP_CONFIG: _NONE,
        _A.GIVE_UP_AUTH: _NONE,
        _A.NOT_ENROLLED: _NONE,
    }
)
"""For each action the rung after SAME_TOKEN, NEW_TOKEN, SEEDED, EMPTY and LAST; None: give up."""


def first_rung(action: LinkAction, handle: Handle | None) -> ResumeStrategy | None:
    """Return how to go on after an open connection was lost; None: do not."""
    if next_rung(ResumeStrategy.SAME_TOKEN, action) is None:
        return None
    if handle is None or action is LinkAction.FRESH_SESSION:
        return ResumeStrategy.SEEDED
    return ResumeStrategy.NEW_TOKEN if action is LinkAction.NEW_TOKEN else ResumeStrategy.SAME_TOKEN


def next_rung(rung: ResumeStrategy, action: LinkAction) -> ResumeStrategy | None:
    """Return how to try again after an attempt on ``rung`` failed; None: not at all.

    Never up. Where the result is not in `HANDLE` and ``rung`` was, the handle is no good and is to be dropped.
    """
    return FALLBACKS[action][tuple(ResumeStrategy).index(rung)]
