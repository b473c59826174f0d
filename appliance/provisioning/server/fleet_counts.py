"""Counts devices and sessions for the metrics."""

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import Connection, func, select

from appliance.provisioning.server.quota import HORIZON_MS
from appliance.provisioning.server.schema import DEVICE, MINTED, SESSION


@dataclass(frozen=True, slots=True)
class FleetCounts:
    """Counts at one moment."""

    devices: Mapping[str, int]
    """Devices by status. A status without devices may be missing."""
    in_use: int
    """Valid tokens whose session no device has reported as ended."""


def count_fleet(connection: Connection, now: int) -> FleetCounts:
    """Return the counts at ``now``, in milliseconds since 1970."""
    by_status = select(DEVICE.c.status, func.count().label("devices")).group_by(DEVICE.c.status)
    in_use = select(func.count()).where(
        SESSION.c.at > now - HORIZON_MS,
        SESSION.c.expires_at > now,
        SESSION.c.ended_at.is_(None),
        SESSION.c.state == MINTED,
    )
    return FleetCounts(
        devices={row.status: row.devices for row in connection.execute(by_status)},
        in_use=connection.execute(in_use).scalar_one(),
    )
