"""Sessions that quotas count, from the reservation to the token.

A session is counted before its token is minted, in the transaction of the sequence number, and refunded if there is no
token. A crash leaves at worst a session that was counted and never minted. `sweep` refunds those: nobody can have
received a token that was reserved for longer than a mint can take.
"""

import asyncio
import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from sqlalchemy import Connection, bindparam, delete, insert, select, update

from appliance.provisioning.common.protocol import Purpose, Quota
from appliance.provisioning.server import quota, session_accounting
from appliance.provisioning.server.errors import Refusal
from appliance.provisioning.server.policy import DevicePolicy
from appliance.provisioning.server.schema import MINTED, REFUNDED, RESERVED, SESSION, USAGE
from appliance.provisioning.server.store import DatabaseStore
from appliance.provisioning.server.timestamps import UTC_NAME, day_of, new_id

ABANDONED_MS: Final = 120_000
"""A session reserved for longer than this will never be minted."""
KEPT_MS: Final = 30 * 86_400_000
"""Age at which sessions are deleted. Their sums stay in ``usage``."""
_WARN_FRACTION: Final = 0.8

_ADD: Final = (
    update(USAGE)
    .where(USAGE.c.device_id == bindparam("device"), USAGE.c.day == bindparam("today"))
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
    """A counted session, and the quota left after it."""

    session_id: str
    quota: Quota


@dataclass(frozen=True, slots=True)
class MintedSession:
    """A session whose token has been minted."""

    session_id: str
    token_sha256: bytes


def reserve(
    connection: Connection, device: str, policy: DevicePolicy, purpose: Purpose, sequence: int, now: int
) -> Reservation | Refusal:
    """Count a session of ``device``, whose row this transaction has locked; refuse it if a quota is used up."""
    session_accounting.close_superseded(connection, device, purpose, policy, now)
    used = quota.quota_use(connection, device, policy.time_zone, now)
    seconds = quota.token_lifetime_s(policy, purpose)
    refusal = quota.exceeded(used, policy, seconds, now)
    if refusal is not None:
        _log.info("device %s: refused: %s", device, refusal.code)
        return refusal
    today = day_of(now, policy.time_zone)
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
    if policy.sessions_day and used.sessions_today + 1 == int(policy.sessions_day * _WARN_FRACTION):
        _log.warning(
            "device %s: %d of %d conversations used today", device, used.sessions_today + 1, policy.sessions_day
        )
    return Reservation(session_id, quota.remaining(used.plus_session(seconds, now), policy, now))


def mark_minted(connection: Connection, minted: Sequence[MintedSession]) -> Collection[str]:
    """Mark reserved sessions as minted; return those that `sweep` has not refunded."""
    rows = [{"session": one.session_id, "token": one.token_sha256} for one in minted]
    ids = [one.session_id for one in minted]
    if connection.execute(_SETTLE, rows).rowcount == len(rows):
        return ids
    wanted = select(SESSION.c.id).where(SESSION.c.id.in_(ids), SESSION.c.state == MINTED)
    return connection.execute(wanted).scalars().all()


def refund(connection: Connection, session_id: str, time_zone: str = UTC_NAME) -> None:
    """Refund a session that got no token; does nothing a second time."""
    row = connection.execute(
        update(SESSION)
        .where(SESSION.c.id == session_id, SESSION.c.state == RESERVED)
        .values(state=REFUNDED)
        .returning(SESSION.c.device_id, SESSION.c.at, SESSION.c.reserved_s)
    ).first()
    if row is not None:
        day = day_of(row.at, time_zone)
        session_accounting.add_usage(
            connection, row.device_id, day, session_accounting.UsageDelta(sessions=-1, reserved_s=-row.reserved_s)
        )


def sweep(connection: Connection, now: int, time_zone: str = UTC_NAME) -> int:
    """Refund sessions that were never minted, and delete old ones; return the number refunded."""
    abandoned = select(SESSION.c.id).where(SESSION.c.state == RESERVED, SESSION.c.at < now - ABANDONED_MS)
    ids = connection.execute(abandoned).scalars().all()
    for session_id in ids:
        refund(connection, session_id, time_zone)
    connection.execute(delete(SESSION).where(SESSION.c.at < now - KEPT_MS))
    return len(ids)


@dataclass(slots=True)
class _Waiting:
    minted: MintedSession
    is_written: bool = False


class GroupCommit:
    """Marks sessions as minted, several in one transaction; for one event loop. Bounded by the requests under way."""

    def __init__(self, store: DatabaseStore) -> None:
        self._store = store
        self._lock = asyncio.Lock()
        self._waiting: list[_Waiting] = []

    async def mark_minted(self, minted: MintedSession) -> bool:
        """Mark a session as minted. False: it has been refunded, and its token must not be given out.

        Raises:
            StoreUnavailable.
        """
        waiting = _Waiting(minted)
        self._waiting.append(waiting)
        async with self._lock:
            if waiting in self._waiting:
                # All that arrived during the previous write share this one.
                group, self._waiting = self._waiting, []
                work = partial(mark_minted, minted=[one.minted for one in group])
                marked = await self._store.transact(work)
                for one in group:
                    one.is_written = one.minted.session_id in marked
        return waiting.is_written
