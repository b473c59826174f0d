"""How the server's own key is replaced: the next one is announced first, and signs once the devices know it.

What is done here counts for a server from its next start on.
"""

from argparse import Namespace

from sqlalchemy import Connection, func, select

from appliance.errors import ExitCode, InputError
from appliance.provisioning.keys import thumbprint
from appliance.provisioning.protocol import DeviceStatus
from appliance.provisioning.server import audit, identity
from appliance.provisioning.server.admin.actions import Operator
from appliance.provisioning.server.admin.show import Row
from appliance.provisioning.server.schema import AUDIT, DEVICE
from appliance.provisioning.server.settings import Settings


def show(connection: Connection, operator: Operator, options: Namespace, settings: Settings) -> Row:
    """Return the key that signs, the next one, and how many devices have not been heard of since it was announced."""
    del operator, options
    after = identity.next_key(settings)
    about: dict[str, object] = {"signs": thumbprint(identity.signing_key(settings))}
    if after is None:
        return {**about, "announced": None, "unheard": None}
    name = thumbprint(after)
    return {**about, "announced": name, "unheard": _unheard(connection, name)}


def announce(connection: Connection, operator: Operator, options: Namespace, settings: Settings) -> Row:
    """Make the next key, where there is none."""
    identity.signing_key(settings)
    name = thumbprint(identity.make_next_key(settings))
    if _announced_at(connection, name) is None:
        entry = audit.Entry(operator.now, operator.name, audit.Action.SERVER_KEY_ANNOUNCED, name)
        audit.append(connection, entry)
    return show(connection, operator, options, settings)


def rotate(connection: Connection, operator: Operator, options: Namespace, settings: Settings) -> Row:
    """Put the next key in the place of the one that signs; raises InputError where devices would be left behind."""
    after = identity.next_key(settings)
    if after is None:
        raise InputError("no key is announced: begin with `keys announce`", ExitCode.NO_INPUT)
    name = thumbprint(after)
    unheard = _unheard(connection, name)
    if unheard and not options.leave_behind:
        raise InputError(
            f"not heard of since the key was announced, and would have to enrol again: {unheard} of the devices; "
            "wait for them, or give --leave-behind"
        )
    audit.append(connection, audit.Entry(operator.now, operator.name, audit.Action.SERVER_KEY_ROTATED, name))
    identity.take_next_key(settings)
    return show(connection, operator, options, settings)


def _unheard(connection: Connection, name: str) -> int:
    """Return how many active devices have not been heard of since the key of this name was announced."""
    since = _announced_at(connection, name)
    active = DEVICE.c.status == DeviceStatus.ACTIVE.value
    seen = func.coalesce(DEVICE.c.last_seen_at, 0)
    late = active if since is None else active & (seen <= since)
    return connection.execute(select(func.count()).select_from(DEVICE).where(late)).scalar_one()


def _announced_at(connection: Connection, name: str) -> int | None:
    announced = (AUDIT.c.action == audit.Action.SERVER_KEY_ANNOUNCED.value) & (AUDIT.c.subject == name)
    return connection.execute(select(func.min(AUDIT.c.at)).where(announced)).scalar()
