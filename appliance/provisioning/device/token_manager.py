"""Hands out tokens, prefetches one if configured, reports sessions to the server and asks for this device's status.

Implements `live.ports.TokenSource`. Background requests are bounded (`BACKGROUND_S`, `IDLE_REFILLS`), respect the
server (Retry-After, quotas), and are spread out: after a power cut, a whole street of devices starts at once.
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
from appliance.provisioning.device.sessions import SessionReport, SessionTracker
from appliance.units import Seconds

BACKGROUND_S: Final = 2.0
"""Time limit of a background request, which may delay one that somebody waits for."""
BOOT_SPREAD_S: Final = 60.0
"""Devices send their first request at a random time within this."""
STATUS_INTERVAL_S: Final = 6 * 3600.0
"""Interval of status requests: a device learns of the server's next key by them."""
STATUS_RETRY_S: Final = 600.0
"""The same after a failure, so that other requests come in between."""
REPORT_TRIES: Final = 10
"""A report is dropped after so many failures of the server: it may be the cause, and others wait behind it."""
LOST_S: Final = 600.0
"""Pause of prefetching after a lost answer: the server counts that token as in use."""
IDLE_REFILLS: Final = 6
"""Times that an unused token is replaced by another."""
RESERVED_SESSIONS: Final = 10
"""No prefetch with fewer sessions left today: they are for conversations."""
RESERVED_MINUTES: Final = 60
_REFRESH_AT: Final = 0.8
"""Fraction of its time after which a token is replaced."""
_MIN_LEFT_S: Final = 5.0
"""A token is not used for the last seconds of its time: setting a connection up takes some."""
_SHUTDOWN_S: Final = 1.0
_BACKOFF: Final = Backoff(1.0, 600.0)
"""After an outage, devices come back spread over ten minutes."""
_NOT_RECEIVED: Final = frozenset({LinkAction.OFFLINE, LinkAction.CLOCK_WRONG})
_REFUSED_S: Final = 300.0
"""Wait after a refusal, which an operator may take back."""


@dataclass(frozen=True, slots=True)
class PrefetchedToken:
    """A token fetched in advance."""

    token: LiveToken
    mode: Mode

    def serves(self, mode: Mode, now: Seconds) -> bool:
        """Return whether a session can be begun with it."""
        return self.mode is mode and now < self.usable_until

    @property
    def usable_until(self) -> Seconds:
        """The end of the time in which a session can be begun with it."""
        return Seconds(self.token.new_session_until - _MIN_LEFT_S)

    @property
    def refresh_at(self) -> Seconds:
        """When to replace it, so that there is always one."""
        window_s = self.token.new_session_until - self.token.session_from
        return Seconds(self.token.session_from + _REFRESH_AT * window_s)


class TokenManager:
    """The device's tokens; an async context manager, for one event loop.

    Args:
        client: The server's API; opened and closed with this.
        prefetch: When to have a token ready.
        store: Holds the server's last word on this device, for `appliance doctor`.
        on_tools: Called with the names of the allowed tools whenever a token is handed out; None: all.
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
        self._status = ServerStatus(store)
        self._on_tools = on_tools
        self._random = random
        self.sessions = SessionTracker()
        self._stack = AsyncExitStack()
        self._changed = asyncio.Event()
        self._prefetch_done = asyncio.Event()
        """Set unless a token is being prefetched."""
        self._prefetch_done.set()
        self._waiters = 0
        """Number of callers that wait for a token."""
        self._prefetched: PrefetchedToken | None = None
        self._prefetch_wanted = prefetch is not Prefetch.NEVER
        """A token should be prefetched."""
        self._mode = Mode.HANDS_FREE
        self._refills = 0
        self._failures = 0
        self._report_tries = 0
        """Attempts at the oldest report, those left out that did not reach the server."""
        self._quiet_until = Seconds(0.0)
        """No background request until then."""
        self._prefetch_not_before = Seconds(0.0)
        """No prefetch until then, as the server has asked."""
        self._lost_token_until = Seconds(0.0)
        """No prefetch until then, as a token was lost."""
        self._status_due_at = Seconds(0.0)

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
        # Without the error, which the task group would wrap.
        await self._stack.aclose()

    # For whoever connects

    async def fetch(self, mode: Mode, *, resume: bool) -> LiveToken:
        """Return the prefetched token, or a new one; raises as `ProvisioningClient.fetch_token`."""
        self._mode = mode
        self._waiters += 1
        try:
            token = await self._take_ready(mode) or await self._fetch_now(mode, resume=resume)
        finally:
            self._waiters -= 1
            self._changed.set()
        if token.session_id is not None:
            self.sessions.token_issued(token.session_id, loop_time())
        self._on_tools(token.locks.tools)
        return token

    async def _take_ready(self, mode: Mode) -> LiveToken | None:
        """Take the token that was prefetched, or is being prefetched; None: there is none for this mode."""
        if not self._serves(mode):
            await self._prefetch_done.wait()
        return self._take() if self._serves(mode) else None

    def _take(self) -> LiveToken | None:
        """Take the prefetched token, for whatever mode; None: there is none that is still usable."""
        prefetched = self._prefetched
        if prefetched is None or loop_time() >= prefetched.usable_until:
            return None
        self._prefetched = None
        return prefetched.token

    def _serves(self, mode: Mode) -> bool:
        return self._prefetched is not None and self._prefetched.serves(mode, loop_time())

    async def _fetch_now(self, mode: Mode, *, resume: bool) -> LiveToken:
        try:
            token = await self._client.fetch_token(mode, Purpose.RESUME if resume else Purpose.NEW)
        except ProvisioningError as error:
            self._status.note_refusal(error)
            self._defer_prefetch(error)
            # A token for the other mode opens a session as well, and may be the one that has used up the quota.
            other = self._take() if error.action is LinkAction.WAIT_QUOTA else None
            if other is None:
                raise
            return other
        self._prefetch_not_before = Seconds(0.0)
        self._status.note_quota(self._client.quota)
        self._recovered()
        return token

    @contextmanager
    def track_link(self, token: LiveToken) -> Iterator[None]:
        """Count a link as open with this token until the context is left; report the session to the server."""
        if token.session_id is None:
            yield
            return
        self.sessions.link_opened(token.session_id, loop_time())
        self._changed.set()
        try:
            yield
        finally:
            self.sessions.link_closed(token.session_id, loop_time())
            self._changed.set()

    # In the background

    async def _run(self) -> None:
        self._quiet_until = Seconds(loop_time() + self._random() * BOOT_SPREAD_S)
        self._status_due_at = self._quiet_until
        try:
            while True:
                self._check_deadlines()
                if self._status.is_unsaved:
                    with self._logging_failures():
                        await self._status.save()
                if loop_time() >= self._quiet_until:
                    await self._do_most_urgent()
                await self._wait()
        finally:
            await self._report_remaining()

    def _check_deadlines(self) -> None:
        """Act on times that have passed: sessions without a link, the prefetched token's age."""
        if self.sessions.end_idle(loop_time()):
            self._prefetch_wanted, self._refills = self._prefetch is not Prefetch.NEVER, 0
        prefetched = self._prefetched
        if prefetched is None:
            return
        if self._renews and loop_time() >= prefetched.refresh_at:
            self._prefetch_wanted, self._refills = True, self._refills + 1
        if loop_time() >= prefetched.usable_until:
            self._discard_prefetched()

    @property
    def _renews(self) -> bool:
        """Whether an unused token is to be replaced when it is old."""
        return self._prefetch is Prefetch.ALWAYS and not self._prefetch_wanted and self._refills < IDLE_REFILLS

    def _discard_prefetched(self) -> None:
        prefetched, self._prefetched = self._prefetched, None
        if prefetched is not None and prefetched.token.session_id is not None:
            self.sessions.token_discarded(prefetched.token.session_id)

    async def _do_most_urgent(self) -> None:
        """Send the most urgent request that is due; after a failure, back off."""
        with self._logging_failures():
            if self.sessions.pending:
                await self._send_report(self.sessions.pending[0])
            elif loop_time() >= self._status_due_at:
                await self._refresh_status()
            elif self._should_prefetch:
                await self._prefetch_token()

    @contextmanager
    def _logging_failures(self) -> Iterator[None]:
        """Log any error and back off: no conversation ends because of a background request."""
        try:
            yield
        except ProvisioningError as error:
            self._back_off(error)
        except Exception as error:  # noqa: BLE001  a bug; its message may hold anything
            frame = traceback.extract_tb(error.__traceback__)[-1]
            where = f"{frame.filename}:{frame.lineno}"
            log.event("provisioning.broken", level="error", error=type(error).__name__, where=where)
            self._quiet_until = Seconds(loop_time() + _REFUSED_S * (1 + self._random()))

    @property
    def _should_prefetch(self) -> bool:
        """Whether to prefetch a token now."""
        if not self._prefetch_wanted or self._waiters or self.sessions.in_use or loop_time() < self._prefetch_from:
            return False
        prefetched = self._prefetched
        if prefetched is not None and prefetched.mode is self._mode and loop_time() < prefetched.refresh_at:
            return False
        quota = self._client.quota
        return quota is None or not (
            _is_low(quota.sessions_left_today, RESERVED_SESSIONS) or _is_low(quota.minutes_left_month, RESERVED_MINUTES)
        )

    @property
    def _prefetch_from(self) -> Seconds:
        return max(self._prefetch_not_before, self._lost_token_until)

    async def _send_report(self, report: SessionReport) -> None:
        self._report_tries += 1
        if self._report_tries > REPORT_TRIES:
            log.event("provisioning.report-dropped", level="warning", tries=REPORT_TRIES)
        else:
            try:
                await self._client.report_session(report.session_id, report.event, BACKGROUND_S)
                self._status.note_quota(self._client.quota)
            except TokenRefused as error:
                log.event("provisioning.report-refused", level="warning", reason=str(error))
            except ProvisioningUnreachable as error:
                self._report_tries -= error.action in _NOT_RECEIVED
                raise
            self._recovered()
        self._report_tries = 0
        if self.sessions.pending and self.sessions.pending[0] is report:
            self.sessions.pending.popleft()

    async def _refresh_status(self) -> None:
        self._status_due_at = Seconds(loop_time() + STATUS_RETRY_S)
        view = await self._client.fetch_status(BACKGROUND_S)
        self._status_due_at = Seconds(loop_time() + STATUS_INTERVAL_S * (1 - self._random() / 4))
        self._recovered()
        log.event("provisioning.standing", status=view.status, device=view.device_id)
        self._status.note_device(view)
        self._status.note_quota(self._client.quota)

    async def _prefetch_token(self) -> None:
        mode = self._mode
        self._prefetch_done.clear()
        try:
            token = await self._client.fetch_token(mode, Purpose.PREFETCH, BACKGROUND_S)
        except ProvisioningError as error:
            self._status.note_refusal(error)
            self._defer_prefetch(error)
            if isinstance(error, NoAnswer):
                self._lost_token_until = Seconds(loop_time() + LOST_S)
            raise
        finally:
            self._prefetch_done.set()
        self._discard_prefetched()
        self._prefetched, self._prefetch_wanted = PrefetchedToken(token, mode), False
        self._status.note_quota(self._client.quota)
        self._recovered()

    def _recovered(self) -> None:
        self._failures, self._quiet_until = 0, Seconds(0.0)

    def _defer_prefetch(self, error: ProvisioningError) -> None:
        """Prefetch no token for as long as the server asks."""
        self._prefetch_not_before = max(self._prefetch_not_before, Seconds(loop_time() + self._retry_after_s(error)))

    def _retry_after_s(self, error: ProvisioningError) -> float:
        """Return the server's Retry-After with a random addition, so that devices do not retry in step."""
        return error.retry_after_s + self._random() * min(error.retry_after_s, BOOT_SPREAD_S)

    def _back_off(self, error: ProvisioningError) -> None:
        """Send no background request for a while."""
        wait_s = _BACKOFF.delay(self._failures, self._random()) if error.retried else _REFUSED_S * (1 + self._random())
        if error.action is not LinkAction.WAIT_QUOTA:  # a quota limits tokens, not reports
            wait_s = max(wait_s, self._retry_after_s(error))
        self._failures += 1
        self._quiet_until = Seconds(loop_time() + wait_s)
        log.event("provisioning.put-off", level="debug", reason=str(error), code=error.code, wait_s=round(wait_s))

    async def _wait(self) -> None:
        """Wait until something changes, or something is due."""
        if self._status.is_unsaved:
            return
        moments = [self._status_due_at]
        if self.sessions.next_end_at is not None:
            moments.append(self.sessions.next_end_at)
        if self._prefetched is not None:
            soon = self._renews or (self._prefetch_wanted and loop_time() < self._prefetched.refresh_at)
            moments.append(self._prefetched.refresh_at if soon else self._prefetched.usable_until)
        if self.sessions.pending or self._should_prefetch:
            moments.append(loop_time())
        elif self._prefetch_wanted and self._prefetch_from > loop_time():
            moments.append(self._prefetch_from)
        until = max(self._quiet_until, Seconds(min(moments)))
        with suppress(TimeoutError):
            async with asyncio.timeout_at(until):
                await self._changed.wait()
        self._changed.clear()

    async def _report_remaining(self) -> None:
        """Send the remaining reports, if the server answers at once."""
        self.sessions.end_all()
        self._discard_prefetched()
        until = loop_time() + _SHUTDOWN_S
        with self._logging_failures():
            while self.sessions.pending and loop_time() < until:
                report = self.sessions.pending.popleft()
                with suppress(TokenRefused):
                    await self._client.report_session(report.session_id, report.event, until - loop_time())
                    self._status.note_quota(self._client.quota)
        if self._status.is_unsaved:
            await self._status.save()


def _is_low(left: int | None, least: int) -> bool:
    return left is not None and left <= least
