"""Copies a database into another, which may use the other engine."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from sqlalchemy import Connection, delete, func, insert, select

from appliance.errors import ConfigurationError, ExitCode, InputError
from appliance.provisioning.server import migrate
from appliance.provisioning.server.devices import BY_SETTINGS
from appliance.provisioning.server.schema import AUDIT, CLAIM, DEVICE, METADATA, POLICY
from appliance.provisioning.server.store import DatabaseStore, open_engine

_ROWS: Final = 500
"""Rows in one batch."""


@contextmanager
def opened(url: str, setting: str) -> Iterator[DatabaseStore]:
    """Open another database, migrated; raises ConfigurationError and StoreUnavailable."""
    store = DatabaseStore(open_engine(url))
    try:
        migrate.upgrade(store.engine, setting)
        yield store
    finally:
        store.close()


def use_snapshot(connection: Connection) -> None:
    """Make this transaction, which has done nothing yet, read one consistent snapshot."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")


def copy(source: Connection, target: Connection) -> int:
    """Copy all rows of all tables into the empty ``target``, and return the number of devices.

    Raises:
        InputError: ``target`` is not empty.
    """
    if not is_empty(target):
        raise InputError("the target database is not empty", ExitCode.CANNOT_WRITE)
    for table in reversed(METADATA.sorted_tables):
        target.execute(delete(table))
    for table in METADATA.sorted_tables:
        found = source.execution_options(yield_per=_ROWS).execute(select(table)).mappings()
        for rows in found.partitions(_ROWS):
            target.execute(insert(table), [dict(row) for row in rows])
    return target.execute(select(func.count()).select_from(DEVICE)).scalar_one()


def is_empty(connection: Connection) -> bool:
    """Say whether a database contains only what a server writes when it starts."""
    enrolled = select(func.count()).select_from(DEVICE).where(DEVICE.c.origin != BY_SETTINGS)
    others = (select(func.count()).select_from(table) for table in (CLAIM, POLICY, AUDIT))
    return not any(connection.execute(one).scalar_one() for one in (enrolled, *others))


def different_url(own: str, other: str) -> str:
    """Return ``other``, a database URL; raises ConfigurationError if it equals ``own``."""
    if own == other:
        raise ConfigurationError("database_url: this database is in use already")
    return other
