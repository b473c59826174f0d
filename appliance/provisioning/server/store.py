"""Stores devices, claims and quotas: in SQLite with one thread, or in PostgreSQL with several.

Work is a plain function of a connection, run in one transaction. What it reads stays true from its first write on:
on SQLite the transaction holds the only write lock, on PostgreSQL (read committed) the first write locks the row.
"""

import asyncio
import errno
import logging
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, TypeVar

from sqlalchemy import Connection, Engine, create_engine, event, make_url, select
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, OperationalError, SQLAlchemyError
from sqlalchemy.pool import StaticPool

from appliance.errors import ApplianceError, ConfigurationError, ExitCode, Owner
from appliance.provisioning.server.schema import AUDIT_HEAD

T = TypeVar("T")
MEMORY: Final = "sqlite://"
"""A database that lives as long as its store; for tests."""
BUSY_MS: Final = 5000
"""Longest wait for another process (usually the admin command) that writes to the same SQLite file."""
POSTGRES_THREADS: Final = 3
"""More threads would make groups smaller, and compete for the interpreter."""
GROUP: Final = 16
"""Most pieces of work in one transaction."""
_SQLITE: Final = {"check_same_thread": False, "isolation_level": "IMMEDIATE"}
"""Makes the driver begin with ``BEGIN IMMEDIATE``: a deferred transaction may fail when it first writes."""
_FULL: Final = frozenset({"SQLITE_FULL", "SQLITE_IOERR_SHMSIZE"})
"""SQLite's errors on a full disk."""
_DEADLOCK: Final = "40P01"
"""PostgreSQL's code for a deadlock. Two groups can cause one, as each locks several devices; a single piece of work
locks one device, then the audit."""
_MISPLACED: Final = frozenset({sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY})
_log = logging.getLogger(__name__)


class StoreUnavailable(ApplianceError):  # noqa: N818  names a condition
    """The database cannot be used at the moment. ``foreign`` is the driver's or the system's error."""

    code = "store-unavailable"
    owner = Owner.SERVICE
    retried = True

    def __init__(self, foreign: BaseException) -> None:
        super().__init__(f"the database does not do this now: {first_line(foreign)}")
        self.exit_code = _exit_code(foreign)


@dataclass(frozen=True, slots=True)
class _Outcome:
    """Outcome of one piece of work."""

    result: Any = None
    error: Exception | None = None


class DatabaseStore:
    """Runs work in transactions, in its own threads; ``close`` it.

    Args:
        engine: From `open_engine`.
        executor: Runs the work; None: as many threads as suit the database.
    """

    def __init__(self, engine: Engine, executor: Executor | None = None) -> None:
        self.engine = engine
        self._threads = 1 if engine.dialect.name == "sqlite" else POSTGRES_THREADS
        self._executor = executor or ThreadPoolExecutor(self._threads, thread_name_prefix="store")
        self._pending: list[tuple[Callable[[Connection], Any], asyncio.Future[Any]]] = []
        """Work that waits for a thread; bounded by the requests under way."""
        self._busy = 0

    async def transact(self, work: Callable[[Connection], T]) -> T:
        """Run ``work`` in a transaction: committed when it returns, undone when it raises.

        Pending work shares one transaction, as if one came after the other: most of the cost of a small transaction is
        its beginning and end. ``work`` may run again if other work of its group fails.

        Raises:
            StoreUnavailable: The database failed. Nothing was changed, unless it failed during the commit.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._pending.append((work, future))
        self._start(loop)
        try:
            return await future
        except StoreUnavailable as error:
            _log.error("%s", error)
            raise

    def _start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Hand pending work to free threads."""
        while self._pending and self._busy < self._threads:
            group, self._pending = self._pending[:GROUP], self._pending[GROUP:]
            self._busy += 1
            done = loop.run_in_executor(self._executor, self._run, [work for work, _ in group])
            done.add_done_callback(partial(self._finished, [future for _, future in group], loop))

    def _finished(
        self,
        group: list[asyncio.Future[Any]],
        loop: asyncio.AbstractEventLoop,
        done: asyncio.Future[list["_Outcome"]],
    ) -> None:
        self._busy -= 1
        for future, outcome in zip(group, done.result(), strict=True):
            if future.done():  # its waiter was cancelled
                continue
            if outcome.error is None:
                future.set_result(outcome.result)
            else:
                future.set_exception(outcome.error)
        self._start(loop)

    def _run(self, group: Sequence[Callable[[Connection], Any]]) -> list["_Outcome"]:
        """Run all in one transaction; if one raises, each in its own."""
        if len(group) > 1:
            try:
                with self.engine.begin() as connection:
                    return [_Outcome(work(connection)) for work in group]
            except OperationalError as error:
                if getattr(error.orig, "sqlstate", "") != _DEADLOCK:
                    # The database itself failed: each would fail again on its own.
                    return [_Outcome(error=StoreUnavailable(cause_of(error))) for _ in group]
                _log.debug("a group of %d was rolled back: deadlock", len(group))
            except Exception as error:  # noqa: BLE001  run alone, each shows whose fault it was
                _log.debug("a group of %d was rolled back: %s", len(group), type(error).__name__)
        return [self._alone(work) for work in group]

    def _alone(self, work: Callable[[Connection], Any]) -> "_Outcome":
        try:
            return _Outcome(self.transact_here(work))
        except Exception as error:  # noqa: BLE001  raised again in `transact`
            return _Outcome(error=error)

    def transact_here(self, work: Callable[[Connection], T]) -> T:
        """Run ``work`` in a transaction in this thread; raises StoreUnavailable."""
        try:
            with self.engine.begin() as connection:
                return work(connection)
        except SQLAlchemyError as error:
            raise StoreUnavailable(cause_of(error)) from None

    def close(self) -> None:
        """Wait for running work, then close all connections."""
        self._executor.shutdown()
        self.engine.dispose()


def open_engine(url: str) -> Engine:
    """Return an engine for ``sqlite:///file``, `MEMORY` or ``postgresql://…``; does not connect yet.

    Raises:
        ConfigurationError: The address is none of these, or its driver is missing.
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


def _exit_code(foreign: BaseException) -> ExitCode:
    if is_misplaced(foreign):
        return ExitCode.CONFIGURATION
    is_full = getattr(foreign, "sqlite_errorname", "") in _FULL or getattr(foreign, "errno", 0) == errno.ENOSPC
    return ExitCode.CANNOT_WRITE if is_full else ExitCode.UNAVAILABLE


def cause_of(error: Exception) -> BaseException:
    """Return the driver's error: the text of SQLAlchemy's would contain the statement's values."""
    return error.__cause__ or error


def first_line(error: BaseException) -> str:
    """Return an error's first line; the details after it would name rows."""
    return str(error).strip().partition("\n")[0]


def is_misplaced(foreign: BaseException) -> bool:
    """Say whether SQLite can never create or write its file: waiting does not help."""
    return getattr(foreign, "sqlite_errorcode", 0) & 0xFF in _MISPLACED


def check(connection: Connection) -> None:
    """Read the smallest table, from disk."""
    if connection.dialect.name == "sqlite":
        # Otherwise it would answer from its cache, even if the file is gone.
        connection.exec_driver_sql("PRAGMA shrink_memory")
    connection.execute(select(AUDIT_HEAD.c.seq)).scalar_one()
