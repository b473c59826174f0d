"""Copies everything that a database holds into another one, which may be of the other engine."""

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
"""Rows under way."""


@contextmanager
def opened(url: str, setting: str) -> Iterator[DatabaseStore]:
    """Open another database in its newest form; raises ConfigurationError and StoreUnavailable."""
    store = DatabaseStore(open_engine(url))
    try:
        migrate.upgrade(store.engine, setting)
        yield store
    finally:
        store.close()


def hold_still(connection: Connection) -> None:
    """Have this transaction, which has done nothing yet, read everything as it is at one moment."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")


def copy(source: Connection, target: Connection) -> int:
    """Copy all rows of all tables, and return how many devices there are; ``target`` had nothing that matters.

    Raises:
        InputError: It has.
    """
    if not is_fresh(target):
        raise InputError("the database that all is to be put into is not empty", ExitCode.CANNOT_WRITE)
    for table in reversed(METADATA.sorted_tables):
        target.execute(delete(table))
    for table in METADATA.sorted_tables:
        found = source.execution_options(yield_per=_ROWS).execute(select(table)).mappings()
        for rows in found.partitions(_ROWS):
            target.execute(insert(table), [dict(row) for row in rows])
    return target.execute(select(func.count()).select_from(DEVICE)).scalar_one()


def is_fresh(connection: Connection) -> bool:
    """Say whether a database holds nothing but what a server puts there by itself when it starts."""
    enrolled = select(func.count()).select_from(DEVICE).where(DEVICE.c.origin != BY_SETTINGS)
    others = (select(func.count()).select_from(table) for table in (CLAIM, POLICY, AUDIT))
    return not any(connection.execute(one).scalar_one() for one in (enrolled, *others))


def other_than(own: str, other: str) -> str:
    """Return ``other``, the address of a database; raises ConfigurationError where it is ``own``."""
    if own == other:
        raise ConfigurationError("database_url: is the database that is in use already")
    return other
