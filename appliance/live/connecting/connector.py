"""Opens links: with the token, the handle, the transcript and the set-up that promise most, then with less of them.

Responsible for the ladder down which an attempt climbs (`handles`), for what a model is found not to take (`tiers`),
and for the waits between attempts. It does not know whether a link is wanted: whoever wants none any more cancels.
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
from appliance.live.connecting.resumption import HANDLE, Handle, ResumeStrategy, ResumptionState, first_rung, next_rung
from appliance.live.connecting.setup_fallback import ModelLimitations, drop_next, restored
from appliance.live.failures import USER_TROUBLE, WAITS, action_of
from appliance.live.model_capabilities import capabilities
from appliance.live.ports import HistorySeed, Link, LinkConnector, LiveToken, Request, SeedMethod, Store, TokenSource
from appliance.live.transcript import Transcript
from appliance.units import Seconds

STABLE_S: Final = 30.0
"""A link that has worked for so long forgives the failures before it."""
_TOKEN_LEFT_S: Final = 60.0
"""A token with less life left is not used again."""
_SPREAD: Final = 0.25
"""By so much of the wait that a server asks for, devices come back later than that, not all at once."""
_VAIN: Final = frozenset(
    {LinkAction.GIVE_UP_CONFIG, LinkAction.GIVE_UP_AUTH, LinkAction.NOT_ENROLLED, LinkAction.WAIT_QUOTA}
)
"""What a person cannot wait for."""


@dataclass(frozen=True, slots=True)
class Sources:
    """What links are made of."""

    tokens: TokenSource
    connector: LinkConnector
    lessons: Store
    """What was found out about models."""


@dataclass(frozen=True, slots=True)
class OpenedLink:
    """A link, and what it goes on with."""

    link: Link
    model: str
    continuity: Continuity


@dataclass(frozen=True, slots=True)
class _Minted:
    """A token, and what it may be used for."""

    token: LiveToken
    mode: Mode


class Connector:
    """Opens one link after another; never two at a time, which is the caller's care."""

    def __init__(
        self,
        sources: Sources,
        transcript: Transcript,
        *,
        memory_s: float,
        today: Callable[[], date],
        random: Callable[[], float] = random.random,
    ) -> None:
        """``transcript`` is what a new session is told; ``random`` draws a number in [0, 1) for each wait."""
        self._tokens = sources.tokens
        self._connector = sources.connector
        self._store = sources.lessons
        self._lessons = restored(sources.lessons.load())
        self._transcript = transcript
        self._trial: ModelLimitations | None = None
        """What is learnt if the next set-up is taken."""
        self._memory_s = memory_s
        self._today = today
        self._random = random
        self._handles = ResumptionState()
        self._forgets = False
        self._minted: _Minted | None = None
        self._config = ""
        self._asked: tuple[str, Request] | None = None
        self._rung: ResumeStrategy = ResumeStrategy.EMPTY
        self._planned = False
        """The rung was chosen by how the last link ended."""
        self._failures = Failures()
        self._wait_s = 0.0

    # What the conversation is

    def begin(self, session: Session) -> None:
        """Go on with this session from the next `open` on, as far as it can be had."""
        if session is Session.CONTINUE_IF_RECENT:
            self._failures, self._wait_s = Failures(), 0.0
            self._remember()
        if session is Session.NEW:
            self._transcript.forget_unanswered()
            self._choose(ResumeStrategy.SEEDED)
        elif session is Session.CONTINUE_IF_RECENT or not self._planned:
            self._choose(ResumeStrategy.SAME_TOKEN)
        self._planned = False
        self._handles = self._handles.taken_up()

    def _remember(self) -> None:
        """Forget the last conversation if it is over for too long."""
        over_at = self._handles.hung_up_at
        if self._forgets or over_at is None or _now() - over_at >= self._memory_s:
            self._handles = ResumptionState()
            self._transcript.forget()
        self._forgets = False
        self._transcript.forget_unanswered()

    def forget(self) -> None:
        """Let the next conversation know nothing of this one."""
        self._forgets = True

    def conversation_ended(self) -> None:
        """The conversation is over, as far as this link knows."""
        self._handles = self._handles.conversation_ended(_now())

    def swap(self) -> None:
        """The link is to be replaced by one that goes on with its session."""
        self._rung = ResumeStrategy.SAME_TOKEN
        self._wait_s = 0.0

    def handle(self, value: str | None) -> None:
        """The service has sent a handle; None: the session cannot be resumed from where it stands."""
        self._handles = self._handles.updated(value, self._config, _now())

    def lost(self, error: LinkError) -> bool:
        """An open link was lost: plan the next one; return whether another one may help."""
        self._failures = self._failures.failed(_now(), STABLE_S)
        rung = first_rung(error.action, self._handles.kept)
        if rung is None or error.action in _VAIN:
            return False
        self._wait_s = self._pause(error.action)
        self._choose(rung)
        self._planned = True
        return True

    # Opening

    @asynccontextmanager
    async def open(self, mode: Mode, on_delay: Callable[[ApplianceError], None]) -> AsyncIterator[OpenedLink]:
        """Open a link, attempt after attempt; leaving closes it.

        ``on_delay`` is told of every attempt that fails and is followed by another.

        Raises:
            ProvisioningError, LinkError: No further attempt can help while a person waits.
        """
        async with AsyncExitStack() as stack:
            while True:
                await asyncio.sleep(self._wait_s)
                try:
                    opened = await self._attempt(stack, mode)
                except (ProvisioningError, LinkError) as error:
                    if not self._goes_on(error):
                        raise
                    on_delay(error)
                else:
                    break
            yield opened

    async def _attempt(self, stack: AsyncExitStack, mode: Mode) -> OpenedLink:
        token = await self._token(mode)
        handle = self._handle() if self._rung in HANDLE else None
        if handle is None and self._rung in HANDLE:
            self._rung = ResumeStrategy.SEEDED
        seed = self._transcript.seed(capabilities(token.model)) if self._rung is ResumeStrategy.SEEDED else None
        if seed is None and self._rung is ResumeStrategy.SEEDED:
            self._rung = ResumeStrategy.EMPTY
        initial = seed is not None and seed.way is SeedMethod.INITIAL_HISTORY
        without = (self._trial or self._lessons).dropped(token.model, self._today())
        request = Request(mode, handle.value if handle else None, initial, without)
        self._asked = token.model, request
        link = await self._set_up(stack, token, request, seed)
        self._failures, self._wait_s, self._planned = self._failures.worked(_now()), 0.0, False
        whole = handle is not None and not self._handles.behind
        log.event("link.opened", model=token.model, rung=self._rung.value, mode=mode.value)
        return OpenedLink(link, token.model, Continuity.FULL if whole else Continuity.PARTIAL)

    async def _token(self, mode: Mode) -> LiveToken:
        """Return the token of the link before, where it may be used again: to resume. Else another."""
        handle, kept = self._handle(), self._minted
        if self._rung is ResumeStrategy.SAME_TOKEN:
            if handle and kept and kept.mode is mode and kept.token.expires_at - _now() > _TOKEN_LEFT_S:
                return kept.token
            self._rung = ResumeStrategy.NEW_TOKEN
        token = await self._tokens.fetch(mode, resume=self._rung in HANDLE and handle is not None)
        self._minted = _Minted(token, mode)
        self._config = f"{self._connector.config(token.model)} {token.locks.tag}"
        return token

    def _handle(self) -> Handle | None:
        return self._handles.usable(self._config, self._memory_s, _now())

    async def _set_up(
        self, stack: AsyncExitStack, token: LiveToken, request: Request, seed: HistorySeed | None
    ) -> Link:
        """Open one link, and leave it to ``stack`` to close it."""
        async with AsyncExitStack() as attempt:
            link = await attempt.enter_async_context(self._connector.open(token, request))
            attempt.enter_context(self._tokens.track_link(token))
            if seed is not None:
                await link.send_seed(seed)
            if self._trial is not None:
                self._lessons, self._trial = self._trial, None
                await self._store.save(self._lessons.stored())
            stack.push_async_exit(attempt.pop_all())
        return link

    # Failing

    def _goes_on(self, error: ApplianceError) -> bool:
        """Plan the attempt after one that failed; return whether there is any sense in it."""
        action = action_of(error)
        self._failures = self._failures.failed(_now(), STABLE_S)
        rung = None if action in _VAIN or not self._reduced(action, str(error)) else next_rung(self._rung, action)
        if rung is None:
            self._trial, self._wait_s = None, 0.0
            return False
        self._wait_s = self._pause(action)
        if isinstance(error, ProvisioningError):
            rung = self._rung  # no link was tried, so nothing is at fault
            self._wait_s = max(self._wait_s, error.retry_after_s * (1 + _SPREAD * self._random()))
        self._choose(rung)
        self._planned = True
        return True

    def _reduced(self, action: LinkAction, reason: str) -> bool:
        """Leave a part out of a set-up that was refused, if neither handle nor transcript may be why.

        Return whether there is another set-up to try.
        """
        if action is not LinkAction.DROP_TIER or self._asked is None or self._rung in {*HANDLE, ResumeStrategy.SEEDED}:
            return True
        model, request = self._asked
        tier = drop_next(self._connector.parts(model, request), reason)
        if tier is None:
            return False
        log.event("link.reduced", level="warning", model=model, without=tier.value)
        self._trial = (self._trial or self._lessons).learnt(model, request.without | {tier}, self._today())
        return True

    def _choose(self, rung: ResumeStrategy) -> None:
        self._rung = rung
        if rung not in HANDLE:
            self._handles = self._handles.dropped()

    def _pause(self, action: LinkAction) -> float:
        return WAITS[action].delay(self._failures.attempt, self._random())


def _now() -> Seconds:
    return Seconds(asyncio.get_running_loop().time())


def trouble_of(error: ApplianceError) -> Trouble:
    """Return what the household is told about a link that failed or was lost."""
    return USER_TROUBLE[action_of(error)]
