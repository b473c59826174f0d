"""Opens links: first with the token, handle, transcript and set-up that keep the most, then with less of them.

Responsible for the ladder of strategies (`resumption`), for the features that a model refuses (`setup_fallback`), and
for the waits between attempts. It does not know whether a link is still wanted: the caller cancels.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import date
from typing import Final

from appliance import log
from appliance.core.backoff import Failures
from appliance.core.effects import Session
from appliance.core.events import Continuity, Trouble
from appliance.core.state import Mode
from appliance.errors import ApplianceError, LinkAction, LinkError, ProvisioningError
from appliance.live.connecting.resumption import (
    WITH_HANDLE,
    Handle,
    ResumeStrategy,
    ResumptionState,
    first_strategy,
    next_strategy,
)
from appliance.live.connecting.setup_fallback import ModelLimitations, next_to_omit, restored
from appliance.live.failures import USER_TROUBLE, WAITS, action_of
from appliance.live.model_capabilities import capabilities
from appliance.live.ports import HistorySeed, Link, LinkConnector, LiveToken, Request, SeedMethod, Store, TokenSource
from appliance.live.transcript import Transcript
from appliance.units import Seconds

STABLE_S: Final = 30.0
"""A link that has worked for this long resets the count of failures."""
_MIN_TOKEN_LIFE_S: Final = 60.0
"""A token that expires sooner is not reused."""
_RETRY_AFTER_SPREAD: Final = 0.25
"""Random extra delay, as a fraction of Retry-After, so that devices do not retry in step."""
_HOPELESS: Final = frozenset(
    {LinkAction.GIVE_UP_CONFIG, LinkAction.GIVE_UP_AUTH, LinkAction.NOT_ENROLLED, LinkAction.WAIT_QUOTA}
)
"""Actions that no retry within a conversation can help."""


@dataclass(frozen=True, slots=True)
class Sources:
    """The dependencies of the connector."""

    tokens: TokenSource
    connector: LinkConnector
    limitations: Store
    """Keeps the limitations of models."""


@dataclass(frozen=True, slots=True)
class OpenedLink:
    """A link, and how much of the session it continues."""

    link: Link
    model: str
    continuity: Continuity


@dataclass(frozen=True, slots=True)
class _FetchedToken:
    token: LiveToken
    mode: Mode


class Connector:
    """Opens one link after another; the caller never opens two at a time."""

    def __init__(
        self,
        sources: Sources,
        transcript: Transcript,
        *,
        memory_s: float,
        today: Callable[[], date],
        random: Callable[[], float] = random.random,
    ) -> None:
        """``transcript`` seeds a new session; ``random`` draws a number in [0, 1) for each wait."""
        self._tokens = sources.tokens
        self._connector = sources.connector
        self._store = sources.limitations
        self._limitations = restored(sources.limitations.load())
        self._transcript = transcript
        self._tried_limitations: ModelLimitations | None = None
        """Saved if the next set-up is accepted."""
        self._memory_s = memory_s
        self._today = today
        self._random = random
        self._resumption = ResumptionState()
        self._forget_next = False
        self._fetched: _FetchedToken | None = None
        self._config = ""
        self._requested: tuple[str, Request] | None = None
        self._strategy: ResumeStrategy = ResumeStrategy.EMPTY
        self._planned = False
        """The strategy was chosen by the end of the last link."""
        self._failures = Failures()
        self._wait_s = 0.0

    # The session to continue

    def begin(self, session: Session) -> None:
        """Continue this session from the next `open` on, as far as possible."""
        if session is Session.CONTINUE_IF_RECENT:
            self._failures, self._wait_s = Failures(), 0.0
            self._forget_if_old()
        if session is Session.NEW:
            self._transcript.forget_unanswered()
            self._choose(ResumeStrategy.SEEDED)
        elif session is Session.CONTINUE_IF_RECENT or not self._planned:
            self._choose(ResumeStrategy.SAME_TOKEN)
        self._planned = False
        self._resumption = self._resumption.continued()

    def _forget_if_old(self) -> None:
        """Forget the last conversation if it ended too long ago."""
        ended_at = self._resumption.ended_at
        if self._forget_next or ended_at is None or _now() - ended_at >= self._memory_s:
            self._resumption = ResumptionState()
            self._transcript.forget()
        self._forget_next = False
        self._transcript.forget_unanswered()

    def forget(self) -> None:
        """Begin the next conversation without memory of this one."""
        self._forget_next = True

    def conversation_ended(self) -> None:
        """Note the end of the conversation."""
        self._resumption = self._resumption.conversation_ended(_now())

    def swap(self) -> None:
        """Resume the session with the next link, which replaces this one."""
        self._strategy = ResumeStrategy.SAME_TOKEN
        self._wait_s = 0.0

    def handle(self, value: str | None) -> None:
        """Take a handle from the service; None: the session cannot be resumed now."""
        self._resumption = self._resumption.updated(value, self._config, _now())

    def lost(self, error: LinkError) -> bool:
        """Plan the next link after an open one was lost; return whether it may help."""
        self._failures = self._failures.failed(_now(), STABLE_S)
        strategy = first_strategy(error.action, self._resumption.handle)
        if strategy is None or error.action in _HOPELESS:
            return False
        self._wait_s = self._delay(error.action)
        self._choose(strategy)
        self._planned = True
        return True

    # Opening

    @asynccontextmanager
    async def open(self, mode: Mode, on_delay: Callable[[ApplianceError], None]) -> AsyncIterator[OpenedLink]:
        """Open a link, with as many attempts as are useful; leaving closes it.

        ``on_delay`` is called with the error of each failed attempt that another one follows.

        Raises:
            ProvisioningError, LinkError: No further attempt can help while a person waits.
        """
        async with AsyncExitStack() as stack:
            while True:
                await asyncio.sleep(self._wait_s)
                try:
                    opened = await self._attempt(stack, mode)
                except (ProvisioningError, LinkError) as error:
                    if not self._plan_retry(error):
                        raise
                    on_delay(error)
                else:
                    break
            yield opened

    async def _attempt(self, stack: AsyncExitStack, mode: Mode) -> OpenedLink:
        token = await self._token(mode)
        handle = self._usable_handle() if self._strategy in WITH_HANDLE else None
        if handle is None and self._strategy in WITH_HANDLE:
            self._strategy = ResumeStrategy.SEEDED
        seed = self._transcript.seed(capabilities(token.model)) if self._strategy is ResumeStrategy.SEEDED else None
        if seed is None and self._strategy is ResumeStrategy.SEEDED:
            self._strategy = ResumeStrategy.EMPTY
        seeded = seed is not None and seed.method is SeedMethod.INITIAL_HISTORY
        omitted = (self._tried_limitations or self._limitations).omitted(token.model, self._today())
        request = Request(mode, handle.value if handle else None, seeded, omitted)
        self._requested = token.model, request
        link = await self._set_up(stack, token, request, seed)
        self._failures, self._wait_s, self._planned = self._failures.worked(_now()), 0.0, False
        full = handle is not None and not self._resumption.outdated
        log.event("link.opened", model=token.model, rung=self._strategy.value, mode=mode.value)
        return OpenedLink(link, token.model, Continuity.FULL if full else Continuity.PARTIAL)

    async def _token(self, mode: Mode) -> LiveToken:
        """Return the previous link's token if it can be used to resume, else a new one."""
        handle, fetched = self._usable_handle(), self._fetched
        if self._strategy is ResumeStrategy.SAME_TOKEN:
            if handle and fetched and fetched.mode is mode and fetched.token.expires_at - _now() > _MIN_TOKEN_LIFE_S:
                return fetched.token
            self._strategy = ResumeStrategy.NEW_TOKEN
        token = await self._tokens.fetch(mode, resume=self._strategy in WITH_HANDLE and handle is not None)
        self._fetched = _FetchedToken(token, mode)
        self._config = f"{self._connector.config_hash(token.model)} {token.locks.tag}"
        return token

    def _usable_handle(self) -> Handle | None:
        return self._resumption.usable(self._config, self._memory_s, _now())

    async def _set_up(
        self, stack: AsyncExitStack, token: LiveToken, request: Request, seed: HistorySeed | None
    ) -> Link:
        """Open one link; ``stack`` closes it."""
        async with AsyncExitStack() as attempt:
            link = await attempt.enter_async_context(self._connector.open(token, request))
            attempt.enter_context(self._tokens.track_link(token))
            if seed is not None:
                await link.send_seed(seed)
            if self._tried_limitations is not None:
                self._limitations, self._tried_limitations = self._tried_limitations, None
                await self._store.save(self._limitations.stored())
            stack.push_async_exit(attempt.pop_all())
        return link

    # Failing

    def _plan_retry(self, error: ApplianceError) -> bool:
        """Plan the next attempt after a failed one; return whether it may help."""
        action = action_of(error)
        self._failures = self._failures.failed(_now(), STABLE_S)
        possible = action not in _HOPELESS and self._omit_feature(action, str(error))
        strategy = next_strategy(self._strategy, action) if possible else None
        if strategy is None:
            self._tried_limitations, self._wait_s = None, 0.0
            return False
        self._wait_s = self._delay(action)
        if isinstance(error, ProvisioningError):
            strategy = self._strategy  # no link was tried, so nothing is at fault
            self._wait_s = max(self._wait_s, error.retry_after_s * (1 + _RETRY_AFTER_SPREAD * self._random()))
        self._choose(strategy)
        self._planned = True
        return True

    def _omit_feature(self, action: LinkAction, reason: str) -> bool:
        """Omit a feature from a refused set-up, unless the handle or the transcript may be the cause.

        Return whether there is another set-up to try.
        """
        with_memory = self._strategy in {*WITH_HANDLE, ResumeStrategy.SEEDED}
        if action is not LinkAction.OMIT_FEATURE or self._requested is None or with_memory:
            return True
        model, request = self._requested
        feature = next_to_omit(self._connector.optional_features(model, request), reason)
        if feature is None:
            return False
        log.event("link.reduced", level="warning", model=model, without=feature.value)
        omitted = request.omitted_features | {feature}
        self._tried_limitations = (self._tried_limitations or self._limitations).adding(model, omitted, self._today())
        return True

    def _choose(self, strategy: ResumeStrategy) -> None:
        self._strategy = strategy
        if strategy not in WITH_HANDLE:
            self._resumption = self._resumption.dropped()

    def _delay(self, action: LinkAction) -> float:
        return WAITS[action].delay(self._failures.attempt, self._random())


def _now() -> Seconds:
    return Seconds(asyncio.get_running_loop().time())


def trouble_of(error: ApplianceError) -> Trouble:
    """Return the trouble message for a link that failed or was lost."""
    return USER_TROUBLE[action_of(error)]
