"""Session resumption: the newest handle, and the ladder of fallbacks when it fails. Pure; times are monotonic.

A handle and a seeded transcript are never used together: the service refuses a second history.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from types import MappingProxyType
from typing import Final

from appliance.errors import LinkAction
from appliance.units import Seconds

VALID_S: Final = 2 * 3600.0
"""The service forgets a session two hours after its last connection has ended (ai.google.dev, Live API, session
management, October 2026)."""
_MARGIN_S: Final = 60.0
"""Handles this close to expiry are not used: a refused resumption costs more than one that is not tried."""


@dataclass(frozen=True, slots=True)
class Handle:
    """A resumption handle."""

    value: str = field(repr=False)
    received_at: Seconds
    config: str
    """Hash of the set-up that the session began with; it cannot be resumed with another (`setup.config_hash`)."""


@dataclass(frozen=True, slots=True)
class ResumptionState:
    """The newest handle, and when the conversation ended. Replaced, never changed."""

    handle: Handle | None = None
    outdated: bool = False
    """The service has since said that the session cannot be resumed now: the handle loses the current turn."""
    ended_at: Seconds | None = None
    """When the conversation ended; None while it lasts."""

    def updated(self, value: str | None, config: str, now: Seconds) -> "ResumptionState":
        """Take a handle from the service; None: the session cannot be resumed now, and the last handle is outdated."""
        if value is None:
            return replace(self, outdated=True)
        return replace(self, handle=Handle(value, now, config), outdated=False)

    def conversation_ended(self, now: Seconds) -> "ResumptionState":
        """Note the end of the conversation: it is remembered from now on."""
        return replace(self, ended_at=now)

    def continued(self) -> "ResumptionState":
        """Note that the conversation goes on."""
        return replace(self, ended_at=None)

    def dropped(self) -> "ResumptionState":
        """Drop the handle: it was refused, or its session did not answer."""
        return ResumptionState(ended_at=self.ended_at)

    def usable(self, config: str, memory_s: float, now: Seconds) -> Handle | None:
        """Return the handle to resume with; None if there is none, or it is too old or of another set-up.

        ``memory_s`` is how long a conversation is remembered after its end.
        """
        handle = self.handle
        if handle is None or handle.config != config:
            return None
        if self.ended_at is not None and now - self.ended_at >= memory_s:
            return None
        return handle if now - handle.received_at < VALID_S - _MARGIN_S else None


class ResumeStrategy(Enum):
    """Ways to continue a conversation over a new connection, from keeping everything to keeping nothing."""

    SAME_TOKEN = "same-token"  # noqa: S105  no secret
    """Resume with the handle and the previous connection's token."""
    NEW_TOKEN = "new-token"  # noqa: S105  no secret
    """Resume with the handle and a new token."""
    SEEDED = "seeded"
    """New token, new session, seeded with the transcript; without a transcript the same as EMPTY."""
    EMPTY = "empty"
    """New token, new session, nothing else: also the first connection's strategy."""
    LAST = "last"
    """EMPTY with yet another token: the last one may have been at fault."""


WITH_HANDLE: Final = frozenset({ResumeStrategy.SAME_TOKEN, ResumeStrategy.NEW_TOKEN})
"""Strategies that use the handle."""

_A = LinkAction
_SAME, _NEW, _SEEDED, _EMPTY, _LAST = ResumeStrategy
_Next = tuple[ResumeStrategy | None, ...]
_UNCHANGED: Final[_Next] = (_SAME, _NEW, _SEEDED, _EMPTY, _LAST)
_DROP_HANDLE: Final[_Next] = (_NEW, _SEEDED, _SEEDED, _EMPTY, _LAST)
_NEW_TOKENS: Final[_Next] = (_NEW, _SEEDED, _EMPTY, _LAST, None)
_NEW_SESSION: Final[_Next] = (_SEEDED, _SEEDED, _EMPTY, _LAST, None)
_OMIT_FEATURES: Final[_Next] = (_SEEDED, _SEEDED, _EMPTY, _EMPTY, _LAST)
_GIVE_UP: Final[_Next] = (None, None, None, None, None)

FALLBACKS: Final[Mapping[LinkAction, _Next]] = MappingProxyType(
    {
        # The service fails: only the handle may be the cause.
        _A.RETRY_NOW: _DROP_HANDLE,
        _A.BACK_OFF: _DROP_HANDLE,
        # Nothing was tried, so nothing is at fault.
        _A.WAIT_QUOTA: _UNCHANGED,
        _A.OFFLINE: _UNCHANGED,
        _A.CLOCK_WRONG: _UNCHANGED,
        _A.NEW_TOKEN: _NEW_TOKENS,
        _A.FRESH_SESSION: _NEW_SESSION,
        # The handle and the transcript go first; then optional features, as long as there are any (`setup_fallback`).
        _A.OMIT_FEATURE: _OMIT_FEATURES,
        _A.GIVE_UP_CONFIG: _GIVE_UP,
        _A.GIVE_UP_AUTH: _GIVE_UP,
        _A.NOT_ENROLLED: _GIVE_UP,
    }
)
"""For each action, the strategy that follows SAME_TOKEN, NEW_TOKEN, SEEDED, EMPTY and LAST; None: give up."""


def first_strategy(action: LinkAction, handle: Handle | None) -> ResumeStrategy | None:
    """Return the strategy after an open connection was lost; None: give up."""
    if next_strategy(ResumeStrategy.SAME_TOKEN, action) is None:
        return None
    if handle is None or action is LinkAction.FRESH_SESSION:
        return ResumeStrategy.SEEDED
    return ResumeStrategy.NEW_TOKEN if action is LinkAction.NEW_TOKEN else ResumeStrategy.SAME_TOKEN


def next_strategy(failed: ResumeStrategy, action: LinkAction) -> ResumeStrategy | None:
    """Return the strategy after an attempt failed, never one that keeps more; None: give up.

    If ``failed`` used the handle and the result does not, the handle must be dropped.
    """
    return FALLBACKS[action][tuple(ResumeStrategy).index(failed)]
