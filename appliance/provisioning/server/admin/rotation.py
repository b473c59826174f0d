"""Replaces the server's signing key: the next key is announced first, and signs once the devices know it.

The old key is kept until it is dropped: it signs for devices that know no other, and can be restored. A running server
uses the changes from its next start.
"""

from argparse import Namespace
from collections.abc import Sequence

from sqlalchemy import ColumnElement, Connection, func, select, update

from appliance.errors import ExitCode, InputError
from appliance.provisioning.common.keys import thumbprint
from appliance.provisioning.common.protocol import DeviceStatus
from appliance.provisioning.server import audit, identity
from appliance.provisioning.server.admin.actions import Operator
from appliance.provisioning.server.admin.show import Row
from appliance.provisioning.server.identity import own_key
from appliance.provisioning.server.schema import AUDIT, DEVICE
from appliance.provisioning.server.settings import ServerSettings


def show(connection: Connection, operator: Operator, options: Namespace, settings: ServerSettings) -> Row:
    """Return the signing, next and previous keys, and how many devices do not know the newest."""
    del operator, options
    after, before = identity.next_key(settings), identity.previous_key(settings)
    signs = thumbprint(own_key(connection, settings))
    newest = signs if after is None else thumbprint(after)
    return {
        "signs": signs,
        "announced": None if after is None else newest,
        "previous": None if before is None else thumbprint(before),
        "unheard": None if after is None and before is None else _untold(connection, [newest]),
    }


def announce(connection: Connection, operator: Operator, options: Namespace, settings: ServerSettings) -> Row:
    """Create the next key if there is none."""
    own_key(connection, settings)
    name = thumbprint(identity.make_next_key(settings))
    announced = (AUDIT.c.action == audit.AuditAction.SERVER_KEY_ANNOUNCED.value) & (AUDIT.c.subject == name)
    if connection.execute(select(AUDIT.c.seq).where(announced)).first() is None:
        _note(connection, operator, audit.AuditAction.SERVER_KEY_ANNOUNCED, name)
    return show(connection, operator, options, settings)


def rotate(connection: Connection, operator: Operator, options: Namespace, settings: ServerSettings) -> Row:
    """Make the next key the signing key; raises InputError if devices do not know it yet."""
    after = identity.next_key(settings)
    if after is None:
        raise InputError("no key is announced: begin with `keys announce`", ExitCode.NO_INPUT)
    _all_know(connection, [thumbprint(after)], options)
    # The present signing key becomes the previous one, and may replace an older one.
    _leave_behind(connection, [thumbprint(after), thumbprint(own_key(connection, settings))])
    _note(connection, operator, audit.AuditAction.SERVER_KEY_ROTATED, thumbprint(after))
    identity.take_next_key(settings)
    return show(connection, operator, options, settings)


def undo(connection: Connection, operator: Operator, options: Namespace, settings: ServerSettings) -> Row:
    """Make the previous key the signing key again; the present one becomes the announced key.

    Raises:
        InputError: There is no previous key; or another key is announced.
    """
    before = identity.previous_key(settings)
    if before is None:
        raise InputError("there is no previous key: nothing was rotated, or it was dropped", ExitCode.NO_INPUT)
    after = identity.next_key(settings)
    # They are the same if a power cut interrupted an `undo`.
    if after is not None and thumbprint(after) != thumbprint(own_key(connection, settings)):
        raise InputError(
            "another key is announced since the rotation, and devices may know it: go on with `keys rotate`; "
            "until `keys drop` the previous key still signs for devices that know no other"
        )
    _note(connection, operator, audit.AuditAction.SERVER_KEY_RESTORED, thumbprint(before))
    identity.take_previous_key(settings)
    return show(connection, operator, options, settings)


def drop(connection: Connection, operator: Operator, options: Namespace, settings: ServerSettings) -> Row:
    """Drop the previous key, so that devices forget it. Raises InputError if some know no other."""
    before = identity.previous_key(settings)
    if before is None:
        raise InputError("there is no previous key", ExitCode.NO_INPUT)
    # A device that knows the announced key learned the signing key from the same answer.
    newer = [thumbprint(key) for key in (own_key(connection, settings), identity.next_key(settings)) if key is not None]
    _all_know(connection, newer, options)
    _leave_behind(connection, newer)
    _note(connection, operator, audit.AuditAction.SERVER_KEY_DROPPED, thumbprint(before))
    identity.drop_previous_key(settings)
    return show(connection, operator, options, settings)


def _all_know(connection: Connection, names: Sequence[str], options: Namespace) -> None:
    untold = _untold(connection, names)
    if untold and not options.leave_behind:
        raise InputError(
            f"devices not in touch since the key was announced, which would have to enrol again: {untold}; "
            "wait until they have asked the server for something, or give --leave-behind"
        )


def _leave_behind(connection: Connection, kept: Sequence[str]) -> None:
    """Clear the known key of devices that trust none of ``kept``.

    Otherwise their old key would keep the server from starting.
    """
    connection.execute(update(DEVICE).where(_late(kept)).values(server_key=None))


def _untold(connection: Connection, names: Sequence[str]) -> int:
    """Return the number of devices not known to trust one of these keys, revoked ones left out."""
    return connection.execute(select(func.count()).select_from(DEVICE).where(_late(names))).scalar_one()


def _late(names: Sequence[str]) -> ColumnElement[bool]:
    return (DEVICE.c.status != DeviceStatus.REVOKED.value) & func.coalesce(DEVICE.c.server_key, "").not_in(names)


def _note(connection: Connection, operator: Operator, action: audit.AuditAction, name: str) -> None:
    audit.append(connection, audit.Entry(operator.now, operator.name, action, name))
