"""Whether the server's key and its database belong together: a backup may have brought back one without the other."""

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import Connection, func, select

from appliance.errors import ConfigurationError
from appliance.provisioning.common.keys import thumbprint
from appliance.provisioning.common.protocol import DeviceStatus
from appliance.provisioning.server import identity
from appliance.provisioning.server.schema import DEVICE
from appliance.provisioning.server.settings import Settings

_REMEDY = "put back what belongs together (`admin restore`); or revoke these devices, which then have to enrol again"


def own_key(connection: Connection, settings: Settings) -> Ed25519PrivateKey:
    """Return the key that signs; made only where the database knows no device that trusts another.

    Raises:
        ConfigurationError: There are such devices, or as `identity.signing_key`.
    """
    trusted = _trusted(connection)
    file = identity.signing_key_file(settings)
    if trusted and not file.exists():
        raise ConfigurationError(
            f"signing_key_file: {file} is not there, and the {_devices(sum(trusted.values()))} of the database trust "
            f"no other: {_REMEDY}"
        )
    key = identity.signing_key(settings)
    own = {thumbprint(one) for one in (key, identity.next_key(settings), identity.previous_key(settings)) if one}
    named = {name: count for name, count in trusted.items() if name is not None}
    if named and not own & set(named):
        raise ConfigurationError(
            f"signing_key_file: {file} is another key than the {_devices(sum(named.values()))} of the database trust: "
            f"{_REMEDY}"
        )
    return key


def _trusted(connection: Connection) -> dict[str | None, int]:
    """Return how many devices trust each key; None: it is not known which."""
    # A device of the settings that has never asked for anything may be new, as the server is.
    known = (DEVICE.c.status != DeviceStatus.REVOKED.value) & DEVICE.c.last_seen_at.is_not(None)
    wanted = select(DEVICE.c.server_key, func.count().label("devices")).where(known).group_by(DEVICE.c.server_key)
    return {row.server_key: row.devices for row in connection.execute(wanted)}


def _devices(count: int) -> str:
    return "one device" if count == 1 else f"{count} devices"
