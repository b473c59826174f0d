"""Serves devices: one method for each request of the protocol."""

import asyncio
import hashlib
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Final, TypeVar

from sqlalchemy import Connection

from appliance.provisioning.common import join, keys
from appliance.provisioning.common.protocol import (
    DeviceView,
    EnrolRequest,
    EnrolResponse,
    ProblemCode,
    Quota,
    RotateRequest,
    RotateResponse,
    ServerKey,
    SessionEvent,
    SessionEventResponse,
    TokenRequest,
    TokenResponse,
)
from appliance.provisioning.common.signatures import (
    ParsedSignature,
    SignatureInvalid,
    SignedRequest,
    parse_request,
    signed_by,
    trusted_keys,
)
from appliance.provisioning.server import devices, enrolment, fleet_counts, policy, quota, session_accounting, sessions
from appliance.provisioning.server.admission import (
    KNOWS_AS_BEFORE,
    Admission,
    AdmissionRequest,
    AuthenticatedDevice,
    note_server_key,
    refusal_by_status,
)
from appliance.provisioning.server.client_version import is_too_old
from appliance.provisioning.server.connection_limits import RequestArrival, origin_of
from appliance.provisioning.server.errors import Refusal, RequestRefused, refused
from appliance.provisioning.server.metrics import Metrics
from appliance.provisioning.server.ports import MintSpec, Upstream, UpstreamError
from appliance.provisioning.server.rate_limiter import RateLimiter
from appliance.provisioning.server.sessions import GroupCommit
from appliance.provisioning.server.settings import ServerSettings
from appliance.provisioning.server.store import DatabaseStore
from appliance.provisioning.server.timestamps import milliseconds

RETRY_AFTER_S: Final = {ProblemCode.UPSTREAM_QUOTA: 60, ProblemCode.UPSTREAM_UNAVAILABLE: 5}
STATUS_REQUESTS: Final = 30
"""Status requests of a device in a minute."""
REFUSALS: Final = 30
"""Requests that a pending or suspended device may have refused in a minute."""
STANDING: Final = frozenset({ProblemCode.DEVICE_PENDING, ProblemCode.DEVICE_SUSPENDED})
UNTRIED: Final = "untried"
OK: Final = "ok"
T = TypeVar("T")
Asked = TypeVar("Asked")
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class IncomingRequest:
    """One request with a well-formed signature."""

    signed: SignedRequest
    agent: str
    """The ``User-Agent`` header."""
    client: str
    """The address it came from; never stored."""
    trusted: str | None = None
    """The `TRUSTED_KEYS_HEADER` header; None: the device is too old to send it."""
    arrival: RequestArrival | None = None
    """Whether its sender is still connected; None: unknown."""


@dataclass(frozen=True, slots=True)
class ServerKeys:
    """The server's public keys, as it announces them to devices."""

    announced: tuple[ServerKey, ...]
    newest: str
    """Thumbprint of the key that every device has to know before others can be dropped."""

    def newest_known(self, trusted: str | None) -> str | None:
        """Return `newest` if a device with this header trusts it, `KNOWS_AS_BEFORE` if the device does not say."""
        if trusted is None:
            return KNOWS_AS_BEFORE
        return self.newest if self.newest in trusted_keys(trusted) else None


@dataclass(frozen=True, slots=True)
class _GrantedSession:
    """A counted session, and the token to mint for it."""

    session_id: str
    spec: MintSpec
    policy: policy.DevicePolicy
    reservation: sessions.Reservation


class ProvisioningService:
    """Serves devices; for one event loop."""

    def __init__(
        self,
        settings: ServerSettings,
        upstream: Upstream,
        store: DatabaseStore,
        server_keys: ServerKeys,
        now: Callable[[], datetime],
        metrics: Metrics,
    ) -> None:
        self._settings = settings
        self._upstream = upstream
        self._store = store
        self._now = now
        self._metrics = metrics
        self._default = policy.default_policy(settings)
        self._admission = Admission(settings.limits.clone_conflicts_day)
        self._failures = RateLimiter()
        self._polls = RateLimiter(STATUS_REQUESTS)
        self._refusals = RateLimiter(REFUSALS)
        self._group_commit = GroupCommit(store)
        self._server_keys = server_keys
        self.upstream_health: str = UNTRIED
        """Outcome of the last mint: "ok", or a problem code."""

    async def tokens(self, incoming: IncomingRequest, asked: TokenRequest | Refusal) -> TokenResponse:
        """Answer ``POST /v1/tokens``; raises RequestRefused."""
        now = self._now()
        granted = await self._admitted(incoming, now, asked, partial(self._grant, now=now), self._refusals)
        if incoming.arrival is not None and incoming.arrival.is_gone:
            await self._refund(granted)
            raise refused(ProblemCode.OVERLOADED)
        token = await self._mint(granted)
        _log.info("device %s: token for session %s", granted.spec.holder, granted.session_id)
        return TokenResponse(
            session_id=granted.session_id,
            token=token,
            model=granted.spec.model,
            api_version=self._settings.api_version,
            base_url=self._settings.live_base_url,
            new_session_expires_at=granted.spec.new_session_expires_at,
            expires_at=granted.spec.expires_at,
            # Taken before the mint, so that a device thinks its token a little older than it is, never younger.
            server_time=now,
            effective=policy.token_locks(granted.policy),
            quota=granted.reservation.quota,
            server_keys=self._server_keys.announced,
        )

    async def enrol(self, incoming: IncomingRequest, asked: EnrolRequest | Refusal) -> tuple[EnrolResponse, bool]:
        """Answer ``POST /v1/enroll``, and say whether the device is new; raises RequestRefused."""
        now = self._now()
        claim = "" if isinstance(asked, Refusal) else _claim(asked.claim.get_secret_value()).id
        claimant = f"{claim} {origin_of(incoming.client)}"
        _throttle(self._failures, claimant)
        applicant = self._applicant(incoming, asked, now)
        outcome = await self._store.transact(partial(enrolment.enrol, applicant=applicant))
        if isinstance(outcome, Refusal):
            self._failures.add(claimant, time.monotonic())
            raise RequestRefused(outcome)
        chosen = await self._store.transact(
            lambda connection: policy.policy_for(connection, outcome.policy, self._default)
        )
        answer = EnrolResponse(
            device_id=outcome.device_id,
            status=outcome.status,
            limits=policy.announced_limits(chosen),
            server_keys=self._server_keys.announced,
            server_time=now,
        )
        return answer, outcome.is_new

    async def device(self, incoming: IncomingRequest) -> DeviceView:
        """Answer ``GET /v1/device``, to a suspended or pending device too; raises RequestRefused."""
        now = self._now()

        def work(connection: Connection, caller: AuthenticatedDevice, asked: None) -> DeviceView:
            del asked
            if incoming.trusted is None:
                # An older device learns keys from this answer only, and does not confirm them.
                note_server_key(connection, caller.device_id, self._server_keys.newest)
            chosen = policy.policy_for(connection, caller.policy, self._default)
            return DeviceView(
                device_id=caller.device_id,
                status=caller.status,
                name=caller.name,
                limits=policy.announced_limits(chosen),
                quota=_quota(connection, caller, chosen, now),
                min_agent_version=self._settings.min_agent_version,
                latest_agent_version=self._settings.latest_agent_version,
                server_keys=self._server_keys.announced,
                server_time=now,
            )

        return await self._admitted(incoming, now, None, work, self._polls)

    async def rotate(self, incoming: IncomingRequest, asked: RotateRequest | Refusal) -> RotateResponse:
        """Answer ``POST /v1/device/rotate``; raises RequestRefused."""
        now = self._now()

        def work(connection: Connection, caller: AuthenticatedDevice, asked: RotateRequest) -> str | Refusal:
            return refusal_by_status(caller) or devices.rotate(connection, caller, asked, milliseconds(now))

        thumbprint = await self._admitted(incoming, now, asked, work, self._refusals)
        return RotateResponse(thumbprint=thumbprint, server_keys=self._server_keys.announced)

    async def reset(self, incoming: IncomingRequest) -> None:
        """Answer ``DELETE /v1/device``, to a suspended or pending device too; raises RequestRefused."""
        now = self._now()

        def work(connection: Connection, caller: AuthenticatedDevice, asked: None) -> None:
            del asked
            devices.reset(connection, caller, milliseconds(now))

        await self._admitted(incoming, now, None, work)

    async def report(
        self, incoming: IncomingRequest, session_id: str, asked: SessionEvent | Refusal
    ) -> SessionEventResponse:
        """Answer ``POST /v1/sessions/{id}/events``, also of a device suspended since; raises RequestRefused."""
        now = self._now()

        def work(
            connection: Connection, caller: AuthenticatedDevice, asked: SessionEvent
        ) -> SessionEventResponse | Refusal:
            chosen = policy.policy_for(connection, caller.policy, self._default)
            refusal = session_accounting.report(
                connection, caller.device_id, session_id, asked, chosen, milliseconds(now)
            )
            left = _quota(connection, caller, chosen, now)
            return refusal or SessionEventResponse(quota=left, server_keys=self._server_keys.announced)

        return await self._admitted(incoming, now, asked, work)

    async def sweep(self) -> None:
        """Refund sessions that never got a token, and update the fleet's gauges."""
        now = milliseconds(self._now())
        refunded = await self._store.transact(partial(sessions.sweep, now=now, time_zone=self._default.time_zone))
        self._metrics.update_fleet(await self._store.transact(partial(fleet_counts.count_fleet, now=now)))
        if refunded:
            self._metrics.refunded(refunded)
            _log.warning("%d sessions were counted and got no token: refunded", refunded)

    async def _admitted(
        self,
        incoming: IncomingRequest,
        now: datetime,
        asked: Asked | Refusal,
        work: Callable[[Connection, AuthenticatedDevice, Asked], T | Refusal],
        throttle: RateLimiter | None = None,
    ) -> T:
        """Run ``work`` for the device that signed, in the transaction that records its sequence number.

        ``throttle`` counts the device's own requests only, not those that somebody replays.

        Raises:
            RequestRefused: By the throttle, the signature, ``asked`` (only to an authenticated device), or
                ``work``.
        """
        knows = self._server_keys.newest_known(incoming.trusted)
        request = AdmissionRequest(self._parsed_signature(incoming), incoming.agent[:80], milliseconds(now), knows)
        device = request.parsed.signer.key_id
        if throttle is not None:
            _throttle(throttle, device)

        def admitted(connection: Connection) -> T | Refusal:
            caller = self._admission.admit(connection, request)
            if isinstance(caller, Refusal):
                return caller
            if isinstance(asked, Refusal):
                return asked
            return work(connection, caller, asked)

        outcome = await self._store.transact(admitted)
        code = outcome.code if isinstance(outcome, Refusal) else None
        if throttle is not None and (code in STANDING or (code is None and throttle is self._polls)):
            throttle.add(device, time.monotonic())
        if isinstance(outcome, Refusal):
            raise RequestRefused(outcome)
        return outcome

    def _parsed_signature(self, incoming: IncomingRequest) -> ParsedSignature:
        if is_too_old(incoming.agent, self._settings.min_agent_version):
            raise refused(ProblemCode.AGENT_TOO_OLD, f"at least {self._settings.min_agent_version}")
        try:
            return parse_request(incoming.signed)
        except SignatureInvalid as error:
            _log.info("refused: %s", error)
            raise refused(ProblemCode.SIGNATURE_INVALID) from None

    def _grant(
        self, connection: Connection, caller: AuthenticatedDevice, asked: TokenRequest, now: datetime
    ) -> _GrantedSession | Refusal:
        if refusal := refusal_by_status(caller):
            return refusal
        chosen = policy.policy_for(connection, caller.policy, self._default)
        counted = sessions.reserve(
            connection, caller.device_id, chosen, asked.purpose, caller.sequence, milliseconds(now)
        )
        if isinstance(counted, Refusal):
            return counted
        spec = policy.mint_spec(chosen, asked.purpose, now, caller.device_id)
        return _GrantedSession(counted.session_id, spec, chosen, counted)

    async def _mint(self, granted: _GrantedSession) -> str:
        """Return a token for a counted session; refund the session if there is none."""
        loop = asyncio.get_running_loop()
        started = loop.time()
        try:
            token = await self._upstream.mint(granted.spec)
        except UpstreamError as error:
            self._minted(error.code, loop.time() - started)
            _log.warning("device %s: no token: %s: %s", granted.spec.holder, error.code, error)
            await self._refund(granted)
            wait_s = error.retry_after or RETRY_AFTER_S.get(error.code)
            raise refused(error.code, retry_after=wait_s) from None
        self._minted(OK, loop.time() - started)
        digest = hashlib.sha256(token.encode()).digest()
        if not await self._group_commit.mark_minted(sessions.MintedSession(granted.session_id, digest)):
            raise refused(ProblemCode.UPSTREAM_UNAVAILABLE, retry_after=1)
        return token

    async def _refund(self, granted: _GrantedSession) -> None:
        """Refund a session that gets no token."""
        refund = partial(sessions.refund, session_id=granted.session_id, time_zone=granted.policy.time_zone)
        await self._store.transact(refund)

    def _minted(self, result: str, seconds: float) -> None:
        self.upstream_health = result
        self._metrics.minted(result, seconds)

    def _applicant(
        self, incoming: IncomingRequest, asked: EnrolRequest | Refusal, now: datetime
    ) -> enrolment.Applicant:
        """Check that the device holds the private key that it enrols with."""
        parsed = self._parsed_signature(incoming)
        if isinstance(asked, Refusal):
            raise RequestRefused(asked)
        try:
            key = keys.key_of(asked.public_key)
        except ValueError:
            raise refused(ProblemCode.INVALID_REQUEST, "wrong: public_key") from None
        if keys.thumbprint(key) != parsed.signer.key_id or signed_by(parsed, (key,), key) is None:
            raise refused(ProblemCode.SIGNATURE_INVALID)
        return enrolment.Applicant(
            claim=_claim(asked.claim.get_secret_value()),
            key=key,
            facts=asked.device,
            name=asked.name,
            agent=incoming.agent[:80],
            sequence=parsed.signer.sequence,
            at=milliseconds(now),
            server_key=self._server_keys.newest,
        )


def _quota(connection: Connection, caller: AuthenticatedDevice, chosen: policy.DevicePolicy, now: datetime) -> Quota:
    """Return what is left of a device's quotas."""
    so_far = quota.quota_use(connection, caller.device_id, chosen.time_zone, milliseconds(now))
    return quota.remaining(so_far, chosen, milliseconds(now))


def _throttle(throttle: RateLimiter, name: str) -> None:
    """Raise RequestRefused if ``name`` has to wait."""
    if wait_s := throttle.wait_s(name, time.monotonic()):
        raise refused(ProblemCode.RATE_LIMITED, retry_after=wait_s)


def _claim(text: str) -> join.Claim:
    """Read a claim. Malformed text becomes a claim that does not exist, so that its refusal looks like any other."""
    try:
        return join.read_claim(text)
    except ValueError:
        return join.Claim("none", "0" * join.SECRET_CHARACTERS)
