"""Where devices, claims and quotas are kept: SQLite in one thread, or PostgreSQL in several.

All work is a plain function of a connection, run in one transaction. What it reads stays true from its first write on:
on SQLite that takes the only right to write, on PostgreSQL (read committed) it locks the row that the work is about.
"""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import Any, Final, TypeVar

from sqlalchemy import Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.pool import StaticPool

from appliance.errors import ConfigurationError

T = TypeVar("T")
MEMORY: Final = "sqlite://"
"""A database that lives as long as its store: for tests."""
BUSY_MS: Final = 5000
"""The longest wait for another process, as a rule the admin command, that writes to the same SQLite file."""
POSTGRES_THREADS: Final = 10
_SQLITE: Final = {"check_same_thread": False, "isolation_level": "IMMEDIATE"}
"""The driver begins transactions with ``BEGIN IMMEDIATE``: one that begins with less may find that it cannot write."""
_log = logging.getLogger(__name__)


class StoreUnavailable(Exception):  # noqa: N818  names a condition
    """The database does not do what it is asked, now."""


class Store:
    """Runs work in transactions, in threads of its own; ``close`` it.

    Args:
        engine: From `open_engine`.
        executor: Where work runs; None: in threads that the database can make use of.
    """

    def __init__(self, engine: Engine, executor: Executor | None = None) -> None:
        self.engine = engine
        threads = 1 if engine.dialect.name == "sqlite" else POSTGRES_THREADS
        # Its queue is bounded by the server's number of connections.
        self._executor = executor or ThreadPoolExecutor(threads, thread_name_prefix="store")

    async def transact(self, work: Callable[[Connection], T]) -> T:
        """Run ``work`` in a transaction: committed when it returns, undone when it raises.

        Raises:
            StoreUnavailable: The database failed; nothing was changed, unless it failed while committing.
        """
        return await asyncio.get_running_loop().run_in_executor(self._executor, self.transact_here, work)

    def transact_here(self, work: Callable[[Connection], T]) -> T:
        """Do the same in this thread; raises StoreUnavailable."""
        try:
            with self.engine.begin() as connection:
                return work(connection)
        except SQLAlchemyError as error:
            # Its text would hold the values of the statement.
            cause = error.__cause__ or error
            _log.error("database: %s: %s", type(cause).__name__, str(cause).partition("\n")[0])
            raise StoreUnavailable(type(cause).__name__) from None

    def close(self) -> None:
        """Wait for work under way, and close all connections."""
        self._executor.shutdown()
        self.engine.dispose()


def open_engine(url: str) -> Engine:
    """Return an engine for ``sqlite:///file``, `MEMORY` or ``postgresql://…``; connects to nothing yet.

    Raises:
        ConfigurationError: It is none of these.
    """
    try:
        parsed = make_url(url)
        if parsed.drivername == "postgresql":
            parsed = parsed.set(drivername="postgresql+psycopg")
        options: dict[str, Any] = {}
        if url == MEMORY:
            options = {"poolclass": StaticPool, "connect_args": _SQLITE}
        elif parsed.drivername == "sqlite":
            options = {"pool_size": 1, "connect_args": _SQLITE}
        elif parsed.drivername == "postgresql+psycopg":
            options = {"pool_size": POSTGRES_THREADS, "max_overflow": 2, "pool_pre_ping": False, "pool_recycle": 1800}
        else:
            raise ConfigurationError("database_url: has to begin with sqlite:/// or postgresql://")
        engine = create_engine(parsed, hide_parameters=True, **options)
    except (ArgumentError, NoSuchModuleError, ImportError) as error:
        raise ConfigurationError(f"database_url: cannot be used ({type(error).__name__})") from None
    if engine.dialect.name == "sqlite":
        event.listen(engine.pool, "connect", _prepare_sqlite)
    return engine


def _prepare_sqlite(connection: Any, record: object) -> None:  # noqa: ANN401  the driver's
    del record
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", f"busy_timeout={BUSY_MS}"):
        connection.execute(f"PRAGMA {pragma}").close()


def check(connection: Connection) -> None:
    """Do the least work there is."""
    connection.execute(text("SELECT 1"))
