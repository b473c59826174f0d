"""Changes enrolled devices: at their own request, the operator's, or to match the settings' table."""

import base64
from collections.abc import Mapping
from typing import Final

from sqlalchemy import Connection, func, insert, select, update

from appliance.provisioning.common import keys
from appliance.provisioning.common.protocol import DeviceStatus, ProblemCode, RotateRequest
from appliance.provisioning.server import audit
from appliance.provisioning.server.admission import ACTIVE, DAY_MS, NEXT, RETIRED, REVOKED, AuthenticatedDevice
from appliance.provisioning.server.enrolment import add_key
from appliance.provisioning.server.errors import Refusal
from appliance.provisioning.server.schema import DEVICE, DEVICE_KEY

BY_SETTINGS: Final = "settings"
KEYS_DAY: Final = 10
"""New keys of a device in a day. They are never deleted."""
KEYS_WAIT_S: Final = 3600
MOVES: Final[Mapping[audit.AuditAction, tuple[frozenset[DeviceStatus], DeviceStatus]]] = {
    audit.AuditAction.APPROVED: (frozenset({DeviceStatus.PENDING}), DeviceStatus.ACTIVE),
    audit.AuditAction.SUSPENDED: (frozenset({DeviceStatus.ACTIVE, DeviceStatus.PENDING}), DeviceStatus.SUSPENDED),
    audit.AuditAction.RESUMED: (frozenset({DeviceStatus.SUSPENDED}), DeviceStatus.ACTIVE),
    audit.AuditAction.REVOKED: (frozenset(DeviceStatus) - {DeviceStatus.REVOKED}, DeviceStatus.REVOKED),
}
"""Operator actions: the states that allow them, and the resulting state. A revoked device has to enrol again."""


def rotate(connection: Connection, caller: AuthenticatedDevice, asked: RotateRequest, now: int) -> Refusal | str:
    """Add a device's next key and return its thumbprint. Both keys are valid until the new one is used."""
    try:
        new = keys.key_of(asked.public_key)
    except ValueError:
        return Refusal(ProblemCode.INVALID_REQUEST, "wrong: public_key")
    thumbprint = keys.thumbprint(new)
    text = keys.rotation_text(caller.device_id, caller.thumbprint, thumbprint, caller.sequence)
    if not keys.signature_fits(new, base64.b64decode(asked.proof), text):
        return Refusal(ProblemCode.INVALID_REQUEST, "wrong: proof")
    existing = connection.execute(select(DEVICE_KEY).where(DEVICE_KEY.c.thumbprint == thumbprint)).first()
    if existing is not None:
        own = existing.device_id == caller.device_id and existing.status in {ACTIVE, NEXT}
        return thumbprint if own else Refusal(ProblemCode.INVALID_REQUEST, "wrong: public_key")
    lately = (DEVICE_KEY.c.device_id == caller.device_id) & (DEVICE_KEY.c.created_at > now - DAY_MS)
    if connection.execute(select(func.count()).select_from(DEVICE_KEY).where(lately)).scalar_one() >= KEYS_DAY:
        return Refusal(ProblemCode.RATE_LIMITED, f"more than {KEYS_DAY} keys in a day", retry_after=KEYS_WAIT_S)
    of_device = (DEVICE_KEY.c.device_id == caller.device_id) & (DEVICE_KEY.c.status == NEXT)
    connection.execute(update(DEVICE_KEY).where(of_device).values(status=RETIRED))
    add_key(connection, caller.device_id, new, NEXT, now)
    return thumbprint


def reset(connection: Connection, caller: AuthenticatedDevice, now: int) -> None:
    """Revoke a device at its own request, and delete its personal fields."""
    _revoke_keys(connection, caller.device_id)
    forgotten = {"name": None, "model": None, "os": None, "serial_sha256": None, "agent": None}
    own = DEVICE.c.id == caller.device_id
    connection.execute(update(DEVICE).where(own).values(status=DeviceStatus.REVOKED.value, **forgotten))
    audit.append(connection, audit.Entry(now, caller.device_id, audit.AuditAction.RESET, caller.device_id))


def move(
    connection: Connection, device_id: str, action: audit.AuditAction, now: int, actor: str
) -> DeviceStatus | None:
    """Apply an operator's action to a device; None: no such device, or its state does not allow it."""
    allowed, target = MOVES[action]
    movable = (DEVICE.c.id == device_id) & DEVICE.c.status.in_([status.value for status in allowed])
    fresh = {"conflicts": 0, "conflicts_since": None} if action is audit.AuditAction.RESUMED else {}
    changed = connection.execute(update(DEVICE).where(movable).values(status=target.value, **fresh))
    if changed.rowcount == 0:
        return None
    if target is DeviceStatus.REVOKED:
        _revoke_keys(connection, device_id)
    audit.append(connection, audit.Entry(now, actor, action, device_id))
    return target


def give_policy(connection: Connection, device_id: str, policy: str | None, now: int, actor: str) -> bool:
    """Give a device another policy, from its next token on; False: there is no such device."""
    if connection.execute(update(DEVICE).where(DEVICE.c.id == device_id).values(policy=policy)).rowcount == 0:
        return False
    audit.append(connection, audit.Entry(now, actor, audit.AuditAction.POLICY_GIVEN, device_id, policy or "none"))
    return True


def apply_settings(connection: Connection, table: Mapping[str, keys.PublicKey], now: int) -> None:
    """Update the store from the settings' table, and revoke devices that the table no longer names.

    Sequence numbers stay unless the key changed.
    """
    audit.lock(connection)
    listed = select(DEVICE.c.id).where(DEVICE.c.origin == BY_SETTINGS)
    for device_id in set(connection.execute(listed).scalars()) - set(table):
        _revoke_keys(connection, device_id)
        gone = update(DEVICE).where(DEVICE.c.id == device_id).values(status=DeviceStatus.REVOKED.value)
        connection.execute(gone)
    for device_id, key in table.items():
        _apply_one(connection, device_id, key, now)


def _apply_one(connection: Connection, device_id: str, key: keys.PublicKey, now: int) -> None:
    status = connection.execute(select(DEVICE.c.status).where(DEVICE.c.id == device_id)).scalar()
    if status is None:
        row = {"status": DeviceStatus.ACTIVE.value, "origin": BY_SETTINGS, "last_sequence": 0, "conflicts": 0}
        connection.execute(insert(DEVICE).values(id=device_id, name=device_id, created_at=now, **row))
    own = DEVICE_KEY.c.thumbprint == keys.thumbprint(key)
    holder = connection.execute(select(DEVICE_KEY.c.device_id, DEVICE_KEY.c.status).where(own)).first()
    if holder is not None and (holder.device_id, holder.status, status) == (device_id, ACTIVE, DeviceStatus.ACTIVE):
        return
    _revoke_keys(connection, device_id)
    if holder is None:
        add_key(connection, device_id, key, ACTIVE, now)
    else:
        connection.execute(update(DEVICE_KEY).where(own).values(device_id=device_id, status=ACTIVE))
    if status == DeviceStatus.REVOKED:
        connection.execute(update(DEVICE).where(DEVICE.c.id == device_id).values(status=DeviceStatus.ACTIVE.value))
    if holder is None or holder.device_id != device_id:
        connection.execute(update(DEVICE).where(DEVICE.c.id == device_id).values(last_sequence=0))


def _revoke_keys(connection: Connection, device_id: str) -> None:
    connection.execute(update(DEVICE_KEY).where(DEVICE_KEY.c.device_id == device_id).values(status=REVOKED))
