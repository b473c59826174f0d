"""The quotas, and the sessions they are counted in.

A session is counted before its token is minted, together with the sequence number, and taken back when there was no
token. So a crash at any moment leaves at worst a session that was counted and never minted; `sweep` finds those and
takes them back: what is reserved for longer than a mint can take, nobody has received.
"""

import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, Integer, bindparam, case, cast, delete, func, insert, select, true, update

from appliance.provisioning.protocol import ProblemCode, Purpose, Quota, SessionEvent, SessionEventType
from appliance.provisioning.server.moments import day_of, moment, new_id, next_day, next_month
from appliance.provisioning.server.policy import NEW_SESSION, Policy
from appliance.provisioning.server.refusals import Refusal, wait
from appliance.provisioning.server.schema import SESSION, USAGE

BURST_MS: Final = 600_000
HORIZON_MS: Final = 2 * 3_600_000
"""No token lives longer than this."""
ABANDONED_MS: Final = 120_000
"""What is reserved for longer than this will never be minted."""
KEPT_MS: Final = 30 * 86_400_000
"""How long single sessions are kept; their sums stay in ``usage``."""
RESERVED: Final = "reserved"
MINTED: Final = "minted"
REFUNDED: Final = "refunded"
_NEARLY: Final = 0.8

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
    .where(SESSION.c.device_id == bindparam("device"), SESSION.c.at > bindparam("since"), SESSION.c.state != REFUNDED)
    .subquery()
)
_USED: Final = select(_MONTH, _RECENT).select_from(_MONTH.join(_RECENT, true()))
_ADD: Final = (
    update(USAGE)
    .where(_OF_DEVICE, USAGE.c.day == bindparam("today"))
    .values(sessions=USAGE.c.sessions + 1, reserved_s=USAGE.c.reserved_s + bindparam("seconds"))
)
_RESERVE: Final = insert(SESSION)
_SETTLE: Final = (
    update(SESSION)
    .where(SESSION.c.id == bindparam("session"), SESSION.c.state == RESERVED)
    .values(state=MINTED, token_sha256=bindparam("token"))
)
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Reservation:
    """A session that has been counted."""

    session_id: str
    quota: Quota


@dataclass(frozen=True, slots=True)
class Minted:
    """A session that has its token."""

    session_id: str
    token_sha256: bytes


@dataclass(frozen=True, slots=True)
class _Used:
    """What a device has used so far."""

    sessions_today: int
    seconds_month: int
    in_burst: int
    oldest_in_burst: int
    leases: int
    first_lease_ends: int


def reserve(
    connection: Connection, device: str, policy: Policy, purpose: Purpose, sequence: int, now: int
) -> Reservation | Refusal:
    """Count a session of ``device``, whose row this transaction has locked, or say which quota is used up."""
    if purpose is Purpose.RESUME:
        _end_resumed(connection, device, now)
    used = _used(connection, device, now)
    seconds = policy.max_session_s + round(NEW_SESSION[purpose].total_seconds())
    refusal = _used_up(used, policy, seconds, now)
    if refusal is not None:
        _log.info("device %s: refused: %s", device, refusal.code)
        return refusal
    today = day_of(now)
    counted = connection.execute(_ADD, {"device": device, "today": today, "seconds": seconds})
    if counted.rowcount == 0:
        row = {"device_id": device, "day": today, "sessions": 1, "reserved_s": seconds, "reported_s": 0}
        connection.execute(insert(USAGE), row)
    session_id = new_id("ses", now)
    connection.execute(
        _RESERVE,
        {
            "id": session_id,
            "device_id": device,
            "at": now,
            "purpose": purpose.value,
            "state": RESERVED,
            "sequence": sequence,
            "reserved_s": seconds,
            "expires_at": now + seconds * 1000,
        },
    )
    if policy.sessions_day and used.sessions_today + 1 == int(policy.sessions_day * _NEARLY):
        _log.warning(
            "device %s: has used %d of %d sessions today", device, used.sessions_today + 1, policy.sessions_day
        )
    return Reservation(session_id, _left(used, policy, seconds, now))


def settle(connection: Connection, minted: Sequence[Minted]) -> Collection[str]:
    """Note which reserved sessions have their tokens; return those that had not been taken back by `sweep`."""
    rows = [{"session": one.session_id, "token": one.token_sha256} for one in minted]
    ids = [one.session_id for one in minted]
    if connection.execute(_SETTLE, rows).rowcount == len(rows):
        return ids
    wanted = select(SESSION.c.id).where(SESSION.c.id.in_(ids), SESSION.c.state == MINTED)
    return connection.execute(wanted).scalars().all()


def refund(connection: Connection, session_id: str) -> None:
    """Take back a session that got no token; does nothing a second time."""
    row = connection.execute(
        update(SESSION)
        .where(SESSION.c.id == session_id, SESSION.c.state == RESERVED)
        .values(state=REFUNDED)
        .returning(SESSION.c.device_id, SESSION.c.at, SESSION.c.reserved_s)
    ).first()
    if row is not None:
        connection.execute(
            update(USAGE)
            .where(USAGE.c.device_id == row.device_id, USAGE.c.day == day_of(row.at))
            .values(sessions=USAGE.c.sessions - 1, reserved_s=USAGE.c.reserved_s - row.reserved_s)
        )


def sweep(connection: Connection, now: int) -> int:
    """Take back what was reserved and never minted, and forget old sessions; return how many were taken back."""
    abandoned = select(SESSION.c.id).where(SESSION.c.state == RESERVED, SESSION.c.at < now - ABANDONED_MS)
    ids = connection.execute(abandoned).scalars().all()
    for session_id in ids:
        refund(connection, session_id)
    connection.execute(delete(SESSION).where(SESSION.c.at < now - KEPT_MS))
    return len(ids)


def report(connection: Connection, device: str, session_id: str, event: SessionEvent, now: int) -> Refusal | None:
    """Note what a device says of a session of its own."""
    own = (SESSION.c.id == session_id) & (SESSION.c.device_id == device) & (SESSION.c.state == MINTED)
    if event.type is SessionEventType.STARTED:
        values: dict[str, object] = {"started_at": func.coalesce(SESSION.c.started_at, now)}
    else:
        outcome = f"{event.type.value} {event.reason}".strip()[:40]
        values = {"ended_at": func.coalesce(SESSION.c.ended_at, now), "outcome": outcome, "reported_s": event.seconds}
    before = connection.execute(select(SESSION.c.reported_s, SESSION.c.at).where(own)).first()
    if before is None:
        return Refusal(ProblemCode.NOT_FOUND)
    connection.execute(update(SESSION).where(own).values(**values))
    if event.type is not SessionEventType.STARTED:
        more = event.seconds - (before.reported_s or 0)
        day = (USAGE.c.device_id == device) & (USAGE.c.day == day_of(before.at))
        connection.execute(update(USAGE).where(day).values(reported_s=USAGE.c.reported_s + cast(more, Integer)))
    return None


def _end_resumed(connection: Connection, device: str, now: int) -> None:
    """End the newest lease: the session that goes on takes its place."""
    leased = (SESSION.c.device_id == device) & SESSION.c.ended_at.is_(None) & (SESSION.c.state == MINTED)
    newest = select(SESSION.c.id).where(leased).order_by(SESSION.c.at.desc()).limit(1).scalar_subquery()
    connection.execute(update(SESSION).where(SESSION.c.id == newest).values(ended_at=now, outcome="resumed"))


def _used(connection: Connection, device: str, now: int) -> _Used:
    today = day_of(now)
    window = {"now": now, "since": now - HORIZON_MS, "burst_since": now - BURST_MS}
    month = {"today": today, "first": today // 100 * 100}
    row = connection.execute(_USED, {"device": device, **month, **window}).one()
    return _Used(int(row.today), int(row.seconds), row.in_burst, row.oldest or now, row.leases, row.first_end or now)


def _used_up(used: _Used, policy: Policy, seconds: int, now: int) -> Refusal | None:
    """Return which quota does not allow another session; where it is several, the one that lasts longest."""
    if policy.minutes_month and used.seconds_month + seconds > policy.minutes_month * 60:
        end = next_month(now)
        return Refusal(ProblemCode.QUOTA_MINUTES, retry_after=wait((end - moment(now)).total_seconds() * 1000))
    if policy.sessions_day and used.sessions_today >= policy.sessions_day:
        end = next_day(now)
        return Refusal(ProblemCode.QUOTA_SESSIONS, retry_after=wait((end - moment(now)).total_seconds() * 1000))
    if policy.burst and used.in_burst >= policy.burst:
        return Refusal(ProblemCode.RATE_LIMITED, retry_after=wait(used.oldest_in_burst + BURST_MS - now))
    if policy.concurrent and used.leases >= policy.concurrent:
        return Refusal(ProblemCode.CONCURRENCY, retry_after=wait(used.first_lease_ends - now))
    return None


def _left(used: _Used, policy: Policy, seconds: int, now: int) -> Quota:
    sessions = max(0, policy.sessions_day - used.sessions_today - 1) if policy.sessions_day else None
    minutes = max(0, policy.minutes_month - (used.seconds_month + seconds) // 60) if policy.minutes_month else None
    return Quota(sessions_left_today=sessions, minutes_left_month=minutes, resets_at=next_day(now))
