"""Hands out tokens, keeps one ready where that is wished, and tells the server of sessions and asks how it stands.

Implements `live.ports.TokenSource`. What is done in the background is bounded (`BACKGROUND_S`, `IDLE_REFILLS`), gives
way to the server (Retry-After, quotas), and comes spread out: a street of devices has its power back at once.
"""

import asyncio
import random
import traceback
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, contextmanager, suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self

from appliance import log
from appliance.clock import loop_time
from appliance.config.schema import Prefetch
from appliance.core.backoff import Backoff
from appliance.core.state import Mode
from appliance.errors import LinkAction, ProvisioningError, ProvisioningUnreachable, TokenRefused
from appliance.live.ports import LiveToken, Store
from appliance.provisioning.common.protocol import Purpose
from appliance.provisioning.device.client import ProvisioningClient
from appliance.provisioning.device.http import NoAnswer
from appliance.provisioning.device.server_status import ServerStatus
from appliance.provisioning.device.sessions import Report, Sessions
from appliance.units import Seconds

BACKGROUND_S: Final = 2.0
"""The longest that a request waits that nobody waits for: so long it may hold up one that somebody does."""
BOOT_SPREAD_S: Final = 60.0
"""Within this after the start, devices begin to ask."""
STANDING_S: Final = 6 * 3600.0
"""How often the server is asked how this device stands: an operator who replaces the server's key counts on it."""
STANDING_AGAIN_S: Final = 600.0
"""How soon it is asked again where that failed: meanwhile there is room for the rest."""
REPORT_TRIES: Final = 10
"""A report at which the server has failed so often is dropped: it may be why, and the others wait behind it."""
LOST_S: Final = 600.0
"""How soon a token is fetched in advance after one whose answer did not come: the server counts that one as in use."""
IDLE_REFILLS: Final = 6
"""How often a token that nobody needed is replaced by another."""
SPARE_SESSIONS: Final = 10
"""With so few sessions left today, none is spent on a token that nobody may need."""
SPARE_MINUTES: Final = 60
_REFRESH: Final = 0.8
"""A token is replaced after so much of its time."""
_LEAST_LEFT_S: Final = 5.0
"""A connection takes some time to set up."""
_FAREWELL_S: Final = 1.0
_BACKOFF: Final = Backoff(1.0, 600.0)
"""After an outage, devices come back spread over ten minutes."""
_UNHEARD: Final = frozenset({LinkAction.OFFLINE, LinkAction.CLOCK_WRONG})
_REFUSED_S: Final = 300.0
"""A refusal may be taken back, but is no reason to ask often."""


@dataclass(frozen=True, slots=True)
class PrefetchedToken:
    """A token that nobody has asked for yet."""

    token: LiveToken
    mode: Mode

    def serves(self, mode: Mode, now: Seconds) -> bool:
        """Return whether a session can be begun with it."""
        return self.mode is mode and now < self.last_moment

    @property
    def last_moment(self) -> Seconds:
        """Until when a session can be begun with it."""
        return Seconds(self.token.new_session_until - _LEAST_LEFT_S)

    @property
    def until(self) -> Seconds:
        """When it is to be replaced, so that there is always one."""
        window_s = self.token.new_session_until - self.token.session_from
        return Seconds(self.token.session_from + _REFRESH * window_s)


class TokenManager:
    """The device's tokens; an async context manager, for one event loop.

    Args:
        client: The line to the server; opened and closed with this.
        prefetch: When to have a token ready.
        store: Where what the server says of this device is kept, for `appliance doctor`.
        on_tools: Told which tools may be offered whenever a token is handed out; None: all.
        random: Draws a number in [0, 1) for each wait.
    """

    def __init__(
        self,
        client: ProvisioningClient,
        prefetch: Prefetch,
        store: Store,
        on_tools: Callable[[frozenset[str] | None], None],
        random: Callable[[], float] = random.random,
    ) -> None:
        self._client = client
        self._prefetch = prefetch
        self._standing = ServerStatus(store)
        self._on_tools = on_tools
        self._random = random
        self.sessions = Sessions()
        self._stack = AsyncExitStack()
        self._changed = asyncio.Event()
        self._filled = asyncio.Event()
        """No token is being fetched in advance."""
        self._filled.set()
        self._asking = 0
        """How many wait for a token."""
        self._spare: PrefetchedToken | None = None
        self._wanted = prefetch is not Prefetch.NEVER
        """A token is to be had in advance."""
        self._mode = Mode.HANDS_FREE
        self._refills = 0
        self._failures = 0
        self._tries = 0
        """How often the oldest report was heard, or we have failed at it."""
        self._rest_until = Seconds(0.0)
        """Until then nothing is asked in the background."""
        self._fill_at = Seconds(0.0)
        """Until then no token is fetched in advance, as the server has asked."""
        self._lost_until = Seconds(0.0)
        """Nor until then, as one was lost."""
        self._standing_at = Seconds(0.0)

    async def __aenter__(self) -> Self:
        """Raises InputError where another program uses the identity."""
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._client)
            group = await stack.enter_async_context(asyncio.TaskGroup())
            upkeep = group.create_task(self._run(), name="provisioning")
            stack.callback(upkeep.cancel)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # The task group is not told of the error: it would wrap it.
        await self._stack.aclose()

    # For whoever connects

    async def fetch(self, mode: Mode, *, resume: bool) -> LiveToken:
        """Return the token that is ready, or a new one; raises as `ProvisioningClient.fetch_token`."""
        self._mode = mode
        self._asking += 1
        try:
            token = await self._ready(mode) or await self._ask(mode, resume=resume)
        finally:
            self._asking -= 1
            self._changed.set()
        if token.session_id is not None:
            self.sessions.handed_out(token.session_id, loop_time())
        self._on_tools(token.locks.tools)
        return token

    async def _ready(self, mode: Mode) -> LiveToken | None:
        """Take the token that was fetched in advance, or is being fetched; None: there is none for this."""
        if not self._serves(mode):
            await self._filled.wait()
        return self._take() if self._serves(mode) else None

    def _take(self) -> LiveToken | None:
        """Take the token that was fetched in advance, for whatever mode; None: there is none that is still good."""
        spare = self._spare
        if spare is None or loop_time() >= spare.last_moment:
            return None
        self._spare = None
        return spare.token

    def _serves(self, mode: Mode) -> bool:
        return self._spare is not None and self._spare.serves(mode, loop_time())

    async def _ask(self, mode: Mode, *, resume: bool) -> LiveToken:
        try:
            token = await self._client.fetch_token(mode, Purpose.RESUME if resume else Purpose.NEW)
        except ProvisioningError as error:
            self._standing.refused(error)
            self._spare_server(error)
            # A token for the other mode opens a session as well, and may be the one that the quota counts.
            other = self._take() if error.action is LinkAction.WAIT_QUOTA else None
            if other is None:
                raise
            return other
        self._fill_at = Seconds(0.0)
        self._standing.served(self._client.quota)
        self._recovered()
        return token

    @contextmanager
    def track_link(self, token: LiveToken) -> Iterator[None]:
        """Count a link as open with this token until the context is left; the server is told of the session."""
        if token.session_id is None:
            yield
            return
        self.sessions.opened(token.session_id, loop_time())
        self._changed.set()
        try:
            yield
        finally:
            self.sessions.closed(token.session_id, loop_time())
            self._changed.set()

    # In the background

    async def _run(self) -> None:
        self._rest_until = Seconds(loop_time() + self._random() * BOOT_SPREAD_S)
        self._standing_at = self._rest_until
        try:
            while True:
                self._look_round()
                if self._standing.is_news:
                    with self._contained():
                        await self._standing.keep()
                if loop_time() >= self._rest_until:
                    await self._do_one()
                await self._pause()
        finally:
            await self._say_goodbye()

    def _look_round(self) -> None:
        """Note what has become due by itself."""
        if self.sessions.settle(loop_time()):
            self._wanted, self._refills = self._prefetch is not Prefetch.NEVER, 0
        spare = self._spare
        if spare is None:
            return
        if self._renews and loop_time() >= spare.until:
            self._wanted, self._refills = True, self._refills + 1
        if loop_time() >= spare.last_moment:
            self._throw_away()

    @property
    def _renews(self) -> bool:
        """Whether a token that nobody needs is to be replaced when its time has come."""
        return self._prefetch is Prefetch.ALWAYS and not self._wanted and self._refills < IDLE_REFILLS

    def _throw_away(self) -> None:
        spare, self._spare = self._spare, None
        if spare is not None and spare.token.session_id is not None:
            self.sessions.unused(spare.token.session_id)

    async def _do_one(self) -> None:
        """Do the most urgent of what is due; what fails is put off."""
        with self._contained():
            if self.sessions.due:
                await self._report(self.sessions.due[0])
            elif loop_time() >= self._standing_at:
                await self._ask_standing()
            elif self._fills:
                await self._fill()

    @contextmanager
    def _contained(self) -> Iterator[None]:
        """Let nothing out: no conversation is to end because of what nobody waits for."""
        try:
            yield
        except ProvisioningError as error:
            self._put_off(error)
        except Exception as error:  # noqa: BLE001  a bug; its message may hold anything
            frame = traceback.extract_tb(error.__traceback__)[-1]
            where = f"{frame.filename}:{frame.lineno}"
            log.event("provisioning.broken", level="error", error=type(error).__name__, where=where)
            self._rest_until = Seconds(loop_time() + _REFUSED_S * (1 + self._random()))

    @property
    def _fills(self) -> bool:
        """Whether a token is to be fetched in advance, now."""
        if not self._wanted or self._asking or self.sessions.in_use or loop_time() < self._fills_from:
            return False
        spare = self._spare
        if spare is not None and spare.mode is self._mode and loop_time() < spare.until:
            return False
        quota = self._client.quota
        return quota is None or not (
            _is_low(quota.sessions_left_today, SPARE_SESSIONS) or _is_low(quota.minutes_left_month, SPARE_MINUTES)
        )

    @property
    def _fills_from(self) -> Seconds:
        return max(self._fill_at, self._lost_until)

    async def _report(self, report: Report) -> None:
        self._tries += 1
        if self._tries > REPORT_TRIES:
            log.event("provisioning.report-dropped", level="warning", tries=REPORT_TRIES)
        else:
            try:
                await self._client.report(report.session_id, report.event, BACKGROUND_S)
                self._standing.served(self._client.quota)
            except TokenRefused as error:
                log.event("provisioning.report-refused", level="warning", reason=str(error))
            except ProvisioningUnreachable as error:
                self._tries -= error.action in _UNHEARD
                raise
            self._recovered()
        self._tries = 0
        if self.sessions.due and self.sessions.due[0] is report:
            self.sessions.due.popleft()

    async def _ask_standing(self) -> None:
        self._standing_at = Seconds(loop_time() + STANDING_AGAIN_S)
        view = await self._client.standing(BACKGROUND_S)
        self._standing_at = Seconds(loop_time() + STANDING_S * (1 - self._random() / 4))
        self._recovered()
        log.event("provisioning.standing", status=view.status, device=view.device_id)
        self._standing.stands(view)
        self._standing.served(self._client.quota)

    async def _fill(self) -> None:
        mode = self._mode
        self._filled.clear()
        try:
            token = await self._client.fetch_token(mode, Purpose.PREFETCH, BACKGROUND_S)
        except ProvisioningError as error:
            self._standing.refused(error)
            self._spare_server(error)
            if isinstance(error, NoAnswer):
                self._lost_until = Seconds(loop_time() + LOST_S)
            raise
        finally:
            self._filled.set()
        self._throw_away()
        self._spare, self._wanted = PrefetchedToken(token, mode), False
        self._standing.served(self._client.quota)
        self._recovered()

    def _recovered(self) -> None:
        self._failures, self._rest_until = 0, Seconds(0.0)

    def _spare_server(self, error: ProvisioningError) -> None:
        """Fetch no token in advance for as long as the server asks."""
        self._fill_at = max(self._fill_at, Seconds(loop_time() + self._asked_s(error)))

    def _asked_s(self, error: ProvisioningError) -> float:
        """Return how long the server asks to be left alone, and somewhat more: not all come back at once."""
        return error.retry_after_s + self._random() * min(error.retry_after_s, BOOT_SPREAD_S)

    def _put_off(self, error: ProvisioningError) -> None:
        """Ask nothing in the background for a while."""
        wait_s = _BACKOFF.delay(self._failures, self._random()) if error.retried else _REFUSED_S * (1 + self._random())
        if error.action is not LinkAction.WAIT_QUOTA:  # a quota is one of tokens
            wait_s = max(wait_s, self._asked_s(error))
        self._failures += 1
        self._rest_until = Seconds(loop_time() + wait_s)
        log.event("provisioning.put-off", level="debug", reason=str(error), code=error.code, wait_s=round(wait_s))

    async def _pause(self) -> None:
        """Wait until something changes, or something is due by itself."""
        if self._standing.is_news:
            return
        moments = [self._standing_at]
        if self.sessions.settles_at is not None:
            moments.append(self.sessions.settles_at)
        if self._spare is not None:
            soon = self._renews or (self._wanted and loop_time() < self._spare.until)
            moments.append(self._spare.until if soon else self._spare.last_moment)
        if self.sessions.due or self._fills:
            moments.append(loop_time())
        elif self._wanted and self._fills_from > loop_time():
            moments.append(self._fills_from)
        until = max(self._rest_until, Seconds(min(moments)))
        with suppress(TimeoutError):
            async with asyncio.timeout_at(until):
                await self._changed.wait()
        self._changed.clear()

    async def _say_goodbye(self) -> None:
        """Tell what has not been told, if the server answers at once."""
        self.sessions.end()
        self._throw_away()
        until = loop_time() + _FAREWELL_S
        with self._contained():
            while self.sessions.due and loop_time() < until:
                report = self.sessions.due.popleft()
                with suppress(TokenRefused):
                    await self._client.report(report.session_id, report.event, until - loop_time())
                    self._standing.served(self._client.quota)
        if self._standing.is_news:
            await self._standing.keep()


def _is_low(left: int | None, least: int) -> bool:
    return left is not None and left <= least
