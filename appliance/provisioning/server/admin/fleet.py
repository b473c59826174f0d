"""Finds devices by id, name or a prefix of either; lists, renames and deletes them."""

from argparse import Namespace
from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import Connection, case, delete, func, or_, select, update

from appliance.errors import ExitCode, InputError
from appliance.provisioning.common.protocol import DeviceStatus
from appliance.provisioning.server import audit
from appliance.provisioning.server.admin.actions import DAY_MS, Operator
from appliance.provisioning.server.admin.show import Row
from appliance.provisioning.server.devices import BY_SETTINGS
from appliance.provisioning.server.schema import DEVICE, DEVICE_KEY, SESSION, USAGE

_SHOWN: Final = 5
"""Devices listed in the error if a name fits several."""
_LISTED: Final = ("id", "name", "status", "policy", "last_seen_at", "agent", "conflicts", "created_at")


def find(connection: Connection, text: str, *, revoked: bool = False) -> str:
    """Return the id of the device whose id or name is, or begins with, ``text``.

    Names ignore case. If several fit equally well, revoked ones are passed over; with ``revoked``, the others.

    Raises:
        InputError: There is none, or there are several.
    """
    if not text.strip():  # every name begins with it, even that of the only device
        raise InputError("no device is named: give its id, its name, or the beginning of either", ExitCode.NO_INPUT)
    is_revoked = DEVICE.c.status == DeviceStatus.REVOKED.value
    passed_over = case((is_revoked, int(not revoked)), else_=int(revoked))
    low = text.lower()
    # Unchanged, too: SQLite's lower() changes ASCII letters only.
    named = (DEVICE.c.name == text) | (func.lower(DEVICE.c.name) == low)
    begins = [
        DEVICE.c.id.startswith(text, autoescape=True),
        DEVICE.c.name.startswith(text, autoescape=True),
        func.lower(DEVICE.c.name).startswith(low, autoescape=True),
    ]
    for fits in (DEVICE.c.id == text, named, or_(*begins)):
        wanted = select(DEVICE.c.id, DEVICE.c.name, passed_over.label("passed_over")).where(fits)
        found = connection.execute(wanted.order_by(passed_over, DEVICE.c.id).limit(_SHOWN + 1)).all()
        meant = [row for row in found if not row.passed_over] or found
        if len(meant) == 1:
            return str(meant[0].id)
        if meant:
            raise InputError(_several(text, meant))
    raise InputError(f"there is no device {text}", ExitCode.NO_INPUT)


def list_devices(connection: Connection, operator: Operator, options: Namespace) -> list[Row]:
    """Return the devices that match the options, last seen first."""
    wanted = select(*(DEVICE.c[name] for name in _LISTED))
    if options.name:
        wanted = wanted.where(func.lower(DEVICE.c.name).contains(options.name.lower(), autoescape=True))
    if options.status:
        wanted = wanted.where(DEVICE.c.status == options.status)
    if options.policy:
        name = None if options.policy == "none" else options.policy
        wanted = wanted.where(DEVICE.c.policy.is_(None) if name is None else DEVICE.c.policy == name)
    if options.unseen_days:
        wanted = wanted.where(func.coalesce(DEVICE.c.last_seen_at, 0) < operator.now - options.unseen_days * DAY_MS)
    newest_first = wanted.order_by(func.coalesce(DEVICE.c.last_seen_at, 0).desc(), DEVICE.c.id)
    page = newest_first.limit(options.limit).offset(options.skip)
    return [dict(row) for row in connection.execute(page).mappings()]


def rename(connection: Connection, operator: Operator, options: Namespace) -> Row:
    """Rename a device."""
    connection.execute(update(DEVICE).where(DEVICE.c.id == options.device).values(name=options.name))
    audit.append(connection, audit.Entry(operator.now, operator.name, audit.AuditAction.RENAMED, options.device))
    return {"id": options.device, "name": options.name}


def remove(connection: Connection, operator: Operator, options: Namespace) -> Row:
    """Delete a revoked device and its usage; raises InputError."""
    device = options.device
    row = connection.execute(select(DEVICE.c.name, DEVICE.c.status, DEVICE.c.origin).where(DEVICE.c.id == device)).one()
    if row.status != DeviceStatus.REVOKED:
        raise InputError(f"the device {device} is {row.status}; revoke it first with `devices revoke`")
    if row.origin == BY_SETTINGS:
        raise InputError(f"the device {device} is in the settings file; remove it there instead")
    for table in (SESSION, USAGE, DEVICE_KEY):
        connection.execute(delete(table).where(table.c.device_id == device))
    connection.execute(delete(DEVICE).where(DEVICE.c.id == device))
    audit.append(connection, audit.Entry(operator.now, operator.name, audit.AuditAction.DELETED, device))
    return {"id": device, "name": row.name, "status": "deleted"}


def _several(text: str, found: Sequence[Any]) -> str:
    named = ", ".join(f"{row.id} ({row.name or 'no name'})" for row in found[:_SHOWN])
    return f"{text} fits several devices: {named}{' and others' if len(found) > _SHOWN else ''}"
