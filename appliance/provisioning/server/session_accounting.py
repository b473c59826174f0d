"""Sessions count with what their tokens were used for, as soon as that is known.

Until then it counts as a conversation that takes all the time the token is good for. A report closes it at once: with
the minutes that were talked, or as none where the token was not used. A device may lie; what it gains is bounded. A
conversation counts with one minute at least, so each costs it something; and no more tokens of a day than
``limits.unused_day`` can be said to be unused.
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
    """Added to the sums of a device's day."""

    sessions: int = 0
    reserved_s: int = 0
    reported_s: int = 0


@dataclass(frozen=True, slots=True)
class _Charge:
    """How a session counts."""

    state: str
    seconds: int


def report(
    connection: Connection, device: str, session_id: str, event: SessionEvent, policy: DevicePolicy, now: int
) -> Refusal | None:
    """Note what a device says of a session of its own; None: done."""
    row = connection.execute(_OWN, {"session": session_id, "device": device}).first()
    if row is None:
        return Refusal(ProblemCode.NOT_FOUND)
    if event.type is SessionEventType.STARTED:
        values: dict[str, Any] = {"started_at": row.started_at or now}
        worth = _Charge(MINTED, row.reserved_s)
        if row.state == NOT_USED:  # it was not, after all
            worth = _Charge(MINTED, _whole_s(row))
            values["ended_at"] = None
    else:
        talked = max(event.seconds, row.reported_s or 0)
        is_unused = event.reason == UNUSED and not talked and row.started_at is None
        worth = _unused(connection, row, policy) if is_unused else _talked(row, talked)
        outcome = f"{event.type.value} {event.reason}".strip()[:40]
        values = {"ended_at": row.ended_at or now, "outcome": outcome, "reported_s": talked}
    _close(connection, row, worth, policy, values)
    return None


def close_superseded(connection: Connection, device: str, purpose: Purpose, policy: DevicePolicy, now: int) -> None:
    """Close the newest session where another one takes its place.

    One that is resumed counts with the time since it was reserved; a token in advance replaces the one before, of which
    nothing was heard, as a device that has lost its power says nothing.
    """
    if purpose is Purpose.NEW:
        return
    row = connection.execute(_NEWEST, {"device": device}).first()
    if row is None:
        return
    if purpose is Purpose.RESUME:
        worth, outcome = _talked(row, (now - row.at) // 1000), "resumed"
    elif row.purpose == Purpose.PREFETCH and row.started_at is None:
        worth, outcome = _unused(connection, row, policy), "replaced"
    else:
        return
    _close(connection, row, worth, policy, {"ended_at": now, "outcome": outcome})


def add_usage(connection: Connection, device: str, day: int, more: UsageDelta) -> None:
    """Add to what a device has used in a day."""
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


def _close(connection: Connection, row: Row[Any], worth: _Charge, policy: DevicePolicy, values: dict[str, Any]) -> None:
    """Write what a session counts with from now on, in its row and in the sums of its day."""
    values = {"state": worth.state, "reserved_s": worth.seconds, **values}
    connection.execute(update(SESSION).where(SESSION.c.id == row.id).values(**values))
    more = UsageDelta(
        sessions=int(worth.state == MINTED) - int(row.state == MINTED),
        reserved_s=worth.seconds - row.reserved_s,
        reported_s=(values.get("reported_s") or row.reported_s or 0) - (row.reported_s or 0),
    )
    if more != UsageDelta():
        add_usage(connection, row.device_id, day_of(row.at, policy.time_zone), more)


def _talked(row: Row[Any], seconds: int) -> _Charge:
    """Return what a conversation counts with; one that was closed before with more keeps that."""
    started = max(1, -(-seconds // _MINUTE_S)) * _MINUTE_S
    before = row.reserved_s if row.ended_at is not None else 0
    return _Charge(MINTED, max(before, min(_whole_s(row), started)))


def _unused(connection: Connection, row: Row[Any], policy: DevicePolicy) -> _Charge:
    """Return that a token counts with nothing, unless too many have been unused in its day."""
    if row.state == NOT_USED:
        return _Charge(NOT_USED, 0)
    since = milliseconds(day_began(row.at, policy.time_zone))
    unused = connection.execute(_UNUSED_SINCE, {"device": row.device_id, "since": since}).scalar_one()
    is_believed = policy.unused_day == 0 or unused < policy.unused_day
    return _Charge(NOT_USED, 0) if is_believed else _Charge(MINTED, row.reserved_s)


def _whole_s(row: Row[Any]) -> int:
    """Return how long a session's token is good, in seconds."""
    seconds: int = (row.expires_at - row.at) // 1000
    return seconds
