"""Charges sessions to quotas by what their tokens were used for.

Until the device reports, a session is charged as a conversation that lasts as long as its token. The report closes it
with the minutes talked, or with nothing if the token was not used. What a device can gain by lying is bounded: each
conversation costs at least a minute, and only ``limits.unused_day`` tokens of a day can be reported as unused.
"""

from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, Row, bindparam, func, select, update

from appliance.provisioning.common.protocol import UNUSED, ProblemCode, Purpose, SessionEvent, SessionEventType
from appliance.provisioning.server.errors import Refusal
from appliance.provisioning.server.policy import DevicePolicy
from appliance.provisioning.server.schema import MINTED, SESSION, USAGE
from appliance.provisioning.server.schema import UNUSED as NOT_USED
from appliance.provisioning.server.timestamps import day_began, day_of, milliseconds

_MINUTE_S: Final = 60
_NEWEST: Final = (
    select(SESSION)
    .where(SESSION.c.device_id == bindparam("device"), SESSION.c.state == MINTED, SESSION.c.ended_at.is_(None))
    .order_by(SESSION.c.at.desc())
    .limit(1)
)
_OWN: Final = select(SESSION).where(
    SESSION.c.id == bindparam("session"),
    SESSION.c.device_id == bindparam("device"),
    SESSION.c.state.in_((MINTED, NOT_USED)),
)
_UNUSED_SINCE: Final = select(func.count()).where(
    SESSION.c.device_id == bindparam("device"), SESSION.c.at >= bindparam("since"), SESSION.c.state == NOT_USED
)


@dataclass(frozen=True, slots=True)
class UsageDelta:
    """A change to the sums of a device's day."""

    sessions: int = 0
    reserved_s: int = 0
    reported_s: int = 0


@dataclass(frozen=True, slots=True)
class _Charge:
    """Cost of a session: its state, and seconds of quota."""

    state: str
    seconds: int


def report(
    connection: Connection, device: str, session_id: str, event: SessionEvent, policy: DevicePolicy, now: int
) -> Refusal | None:
    """Record a device's report on its own session; None: done."""
    row = connection.execute(_OWN, {"session": session_id, "device": device}).first()
    if row is None:
        return Refusal(ProblemCode.NOT_FOUND)
    if event.type is SessionEventType.STARTED:
        values: dict[str, Any] = {"started_at": row.started_at or now}
        charge = _Charge(MINTED, row.reserved_s)
        if row.state == NOT_USED:  # it was used after all
            charge = _Charge(MINTED, _token_lifetime_s(row))
            values["ended_at"] = None
    else:
        talked = max(event.seconds, row.reported_s or 0)
        is_unused = event.reason == UNUSED and not talked and row.started_at is None
        charge = _unused_charge(connection, row, policy) if is_unused else _conversation_charge(row, talked)
        outcome = f"{event.type.value} {event.reason}".strip()[:40]
        values = {"ended_at": row.ended_at or now, "outcome": outcome, "reported_s": talked}
    _close(connection, row, charge, policy, values)
    return None


def close_superseded(connection: Connection, device: str, purpose: Purpose, policy: DevicePolicy, now: int) -> None:
    """Close the newest session if the new token supersedes it.

    A resumed session is charged with the time since it was reserved. A prefetched token replaces an earlier one that
    nothing was heard of: a device that lost power reports nothing.
    """
    if purpose is Purpose.NEW:
        return
    row = connection.execute(_NEWEST, {"device": device}).first()
    if row is None:
        return
    if purpose is Purpose.RESUME:
        charge, outcome = _conversation_charge(row, (now - row.at) // 1000), "resumed"
    elif row.purpose == Purpose.PREFETCH and row.started_at is None:
        charge, outcome = _unused_charge(connection, row, policy), "replaced"
    else:
        return
    _close(connection, row, charge, policy, {"ended_at": now, "outcome": outcome})


def add_usage(connection: Connection, device: str, day: int, more: UsageDelta) -> None:
    """Change a device's usage of one day."""
    own = (USAGE.c.device_id == device) & (USAGE.c.day == day)
    connection.execute(
        update(USAGE)
        .where(own)
        .values(
            sessions=USAGE.c.sessions + more.sessions,
            reserved_s=USAGE.c.reserved_s + more.reserved_s,
            reported_s=USAGE.c.reported_s + more.reported_s,
        )
    )


def _close(
    connection: Connection, row: Row[Any], charge: _Charge, policy: DevicePolicy, values: dict[str, Any]
) -> None:
    """Write a session's charge to its row and to the sums of its day."""
    values = {"state": charge.state, "reserved_s": charge.seconds, **values}
    connection.execute(update(SESSION).where(SESSION.c.id == row.id).values(**values))
    more = UsageDelta(
        sessions=int(charge.state == MINTED) - int(row.state == MINTED),
        reserved_s=charge.seconds - row.reserved_s,
        reported_s=(values.get("reported_s") or row.reported_s or 0) - (row.reported_s or 0),
    )
    if more != UsageDelta():
        add_usage(connection, row.device_id, day_of(row.at, policy.time_zone), more)


def _conversation_charge(row: Row[Any], seconds: int) -> _Charge:
    """Return the charge of a conversation; a greater earlier charge stays."""
    started = max(1, -(-seconds // _MINUTE_S)) * _MINUTE_S
    before = row.reserved_s if row.ended_at is not None else 0
    return _Charge(MINTED, max(before, min(_token_lifetime_s(row), started)))


def _unused_charge(connection: Connection, row: Row[Any], policy: DevicePolicy) -> _Charge:
    """Return no charge for an unused token, unless its day has too many of them."""
    if row.state == NOT_USED:
        return _Charge(NOT_USED, 0)
    since = milliseconds(day_began(row.at, policy.time_zone))
    unused = connection.execute(_UNUSED_SINCE, {"device": row.device_id, "since": since}).scalar_one()
    is_believed = policy.unused_day == 0 or unused < policy.unused_day
    return _Charge(NOT_USED, 0) if is_believed else _Charge(MINTED, row.reserved_s)


def _token_lifetime_s(row: Row[Any]) -> int:
    """Return the lifetime of a session's token, in seconds."""
    seconds: int = (row.expires_at - row.at) // 1000
    return seconds
