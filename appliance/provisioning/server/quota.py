"""Quotas: how much a device has used, how much is left, and which is used up."""

from dataclasses import dataclass, replace
from typing import Final

from sqlalchemy import Connection, bindparam, case, func, select, true

from appliance.provisioning.common.protocol import ProblemCode, Purpose, Quota
from appliance.provisioning.server.errors import Refusal, retry_after_s
from appliance.provisioning.server.policy import NEW_SESSION, DevicePolicy
from appliance.provisioning.server.schema import MINTED, RESERVED, SESSION, USAGE
from appliance.provisioning.server.timestamps import day_of, milliseconds, moment, next_day, next_month

BURST_MS: Final = 600_000
HORIZON_MS: Final = 2 * 3_600_000
"""No token is valid for longer than this."""

_OF_DEVICE: Final = USAGE.c.device_id == bindparam("device")
_MONTH: Final = (
    select(
        func.coalesce(func.sum(case((USAGE.c.day == bindparam("today"), USAGE.c.sessions), else_=0)), 0).label("today"),
        func.coalesce(func.sum(USAGE.c.reserved_s), 0).label("seconds"),
    )
    .where(_OF_DEVICE, USAGE.c.day.between(bindparam("first"), bindparam("today")))
    .subquery()
)
_IN_BURST: Final = SESSION.c.at > bindparam("burst_since")
_LEASED: Final = SESSION.c.ended_at.is_(None) & (SESSION.c.expires_at > bindparam("now"))
_RECENT: Final = (
    select(
        func.count(case((_IN_BURST, 1))).label("in_burst"),
        func.min(case((_IN_BURST, SESSION.c.at))).label("oldest"),
        func.count(case((_LEASED, 1))).label("leases"),
        func.min(case((_LEASED, SESSION.c.expires_at))).label("first_end"),
    )
    .where(
        SESSION.c.device_id == bindparam("device"),
        SESSION.c.at > bindparam("since"),
        SESSION.c.state.in_((RESERVED, MINTED)),
    )
    .subquery()
)
_USED: Final = select(_MONTH, _RECENT).select_from(_MONTH.join(_RECENT, true()))


@dataclass(frozen=True, slots=True)
class QuotaUse:
    """A device's use of its quotas. Times: milliseconds since 1970."""

    sessions_today: int
    seconds_month: int
    in_burst: int
    oldest_in_burst: int
    leases: int
    first_lease_ends: int

    def plus_session(self, seconds: int, now: int) -> "QuotaUse":
        """Return the use after one more session of ``seconds``."""
        ends = now + seconds * 1000
        return replace(
            self,
            sessions_today=self.sessions_today + 1,
            seconds_month=self.seconds_month + seconds,
            in_burst=self.in_burst + 1,
            oldest_in_burst=self.oldest_in_burst if self.in_burst else now,
            leases=self.leases + 1,
            first_lease_ends=min(self.first_lease_ends, ends) if self.leases else ends,
        )


def quota_use(connection: Connection, device: str, time_zone: str, now: int) -> QuotaUse:
    """Return a device's use of its quotas."""
    today = day_of(now, time_zone)
    window = {"now": now, "since": now - HORIZON_MS, "burst_since": now - BURST_MS}
    month = {"today": today, "first": today // 100 * 100}
    row = connection.execute(_USED, {"device": device, **month, **window}).one()
    return QuotaUse(int(row.today), int(row.seconds), row.in_burst, row.oldest or now, row.leases, row.first_end or now)


def token_lifetime_s(policy: DevicePolicy, purpose: Purpose) -> int:
    """Return the lifetime of a token for ``purpose``, in seconds."""
    return policy.max_session_s + round(NEW_SESSION[purpose].total_seconds())


def exceeded(so_far: QuotaUse, policy: DevicePolicy, seconds: int, now: int) -> Refusal | None:
    """Return the refusal of another session; if several quotas are used up, that of the one that lasts longest."""
    if policy.minutes_month and so_far.seconds_month + seconds > policy.minutes_month * 60:
        end = milliseconds(next_month(now, policy.time_zone))
        return Refusal(ProblemCode.QUOTA_MINUTES, retry_after=retry_after_s(end - now))
    if policy.sessions_day and so_far.sessions_today >= policy.sessions_day:
        end = milliseconds(next_day(now, policy.time_zone))
        return Refusal(ProblemCode.QUOTA_SESSIONS, retry_after=retry_after_s(end - now))
    if policy.burst and so_far.in_burst >= policy.burst:
        return Refusal(ProblemCode.RATE_LIMITED, retry_after=retry_after_s(so_far.oldest_in_burst + BURST_MS - now))
    if policy.concurrent and so_far.leases >= policy.concurrent:
        return Refusal(ProblemCode.CONCURRENCY, retry_after=retry_after_s(so_far.first_lease_ends - now))
    return None


def remaining(so_far: QuotaUse, policy: DevicePolicy, now: int) -> Quota:
    """Return what is left, and whether another conversation would be refused now."""
    sessions = max(0, policy.sessions_day - so_far.sessions_today) if policy.sessions_day else None
    minutes = max(0, policy.minutes_month - so_far.seconds_month // 60) if policy.minutes_month else None
    refusal = exceeded(so_far, policy, token_lifetime_s(policy, Purpose.NEW), now)
    return Quota(
        sessions_left_today=sessions,
        minutes_left_month=minutes,
        resets_at=next_day(now, policy.time_zone),
        used_up=refusal.code if refusal else None,
        used_up_until=moment(now + refusal.retry_after * 1000) if refusal and refusal.retry_after else None,
    )
