"""Where devices, claims and quotas are kept: SQLite in one thread, or PostgreSQL in several.

All work is a plain function of a connection, run in one transaction. What it reads stays true from its first write on:
on SQLite that takes the only right to write, on PostgreSQL (read committed) it locks the row that the work is about.
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
"""A database that lives as long as its store: for tests."""
BUSY_MS: Final = 5000
"""The longest wait for another process, as a rule the admin command, that writes to the same SQLite file."""
POSTGRES_THREADS: Final = 3
"""More would only do less in each transaction, and take turns for the interpreter."""
GROUP: Final = 16
"""How much is done in one transaction at most."""
_SQLITE: Final = {"check_same_thread": False, "isolation_level": "IMMEDIATE"}
"""The driver begins transactions with ``BEGIN IMMEDIATE``: one that begins with less may find that it cannot write."""
_FULL: Final = frozenset({"SQLITE_FULL", "SQLITE_IOERR_SHMSIZE"})
"""What SQLite says on a full disk."""
_DEADLOCK: Final = "40P01"
"""PostgreSQL's code for two transactions that wait for each other, of which it ends one. Two groups can, as each locks
several devices; what is done alone locks one, and then the audit."""
_MISPLACED: Final = frozenset({sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY})
_log = logging.getLogger(__name__)


class StoreUnavailable(ApplianceError):  # noqa: N818  names a condition
    """The database does not do what it is asked, now. ``foreign`` is the driver's error, or the system's."""

    code = "store-unavailable"
    owner = Owner.SERVICE
    retried = True

    def __init__(self, foreign: BaseException) -> None:
        super().__init__(f"the database does not do this now: {first_line(foreign)}")
        self.exit_code = _exit_code(foreign)


@dataclass(frozen=True, slots=True)
class _Outcome:
    """Result of one piece of work."""

    result: Any = None
    error: Exception | None = None


class DatabaseStore:
    """Runs work in transactions, in threads of its own; ``close`` it.

    Args:
        engine: From `open_engine`.
        executor: Where work runs; None: in threads that the database can make use of.
    """

    def __init__(self, engine: Engine, executor: Executor | None = None) -> None:
        self.engine = engine
        self._threads = 1 if engine.dialect.name == "sqlite" else POSTGRES_THREADS
        self._executor = executor or ThreadPoolExecutor(self._threads, thread_name_prefix="store")
        self._line: list[tuple[Callable[[Connection], Any], asyncio.Future[Any]]] = []
        """Work that waits for a thread; bounded by the number of requests that the server lets in."""
        self._busy = 0

    async def transact(self, work: Callable[[Connection], T]) -> T:
        """Run ``work`` in a transaction: committed when it returns, undone when it raises.

        What waits for a thread is done in one transaction, as if one came after the other: most of what a small
        transaction costs is its beginning and its end. ``work`` may be run again where another of them fails.

        Raises:
            StoreUnavailable: The database failed; nothing was changed, unless it failed while committing.
        """
        loop = asyncio.get_running_loop()
        mine: asyncio.Future[T] = loop.create_future()
        self._line.append((work, mine))
        self._start(loop)
        try:
            return await mine
        except StoreUnavailable as error:
            _log.error("%s", error)
            raise

    def _start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Have a thread do what waits."""
        while self._line and self._busy < self._threads:
            group, self._line = self._line[:GROUP], self._line[GROUP:]
            self._busy += 1
            done = loop.run_in_executor(self._executor, self._run, [work for work, _ in group])
            done.add_done_callback(partial(self._finished, [mine for _, mine in group], loop))

    def _finished(
        self,
        group: list[asyncio.Future[Any]],
        loop: asyncio.AbstractEventLoop,
        done: asyncio.Future[list["_Outcome"]],
    ) -> None:
        self._busy -= 1
        for mine, outcome in zip(group, done.result(), strict=True):
            if mine.done():  # nobody waits for it any more
                continue
            if outcome.error is None:
                mine.set_result(outcome.result)
            else:
                mine.set_exception(outcome.error)
        self._start(loop)

    def _run(self, group: Sequence[Callable[[Connection], Any]]) -> list["_Outcome"]:
        """Run all in one transaction, or each in its own where one of them raises."""
        if len(group) > 1:
            try:
                with self.engine.begin() as connection:
                    return [_Outcome(work(connection)) for work in group]
            except OperationalError as error:
                if getattr(error.orig, "sqlstate", "") != _DEADLOCK:
                    # The database itself: by themselves they would all fail again.
                    return [_Outcome(error=StoreUnavailable(cause_of(error))) for _ in group]
                _log.debug("a group of %d is undone: another one waited for it", len(group))
            except Exception as error:  # noqa: BLE001  whose fault it is, they show by themselves
                _log.debug("a group of %d is undone: %s", len(group), type(error).__name__)
        return [self._alone(work) for work in group]

    def _alone(self, work: Callable[[Connection], Any]) -> "_Outcome":
        try:
            return _Outcome(self.transact_here(work))
        except Exception as error:  # noqa: BLE001  it is raised where the work was asked for
            return _Outcome(error=error)

    def transact_here(self, work: Callable[[Connection], T]) -> T:
        """Do the same in this thread; raises StoreUnavailable."""
        try:
            with self.engine.begin() as connection:
                return work(connection)
        except SQLAlchemyError as error:
            raise StoreUnavailable(cause_of(error)) from None

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


def _exit_code(foreign: BaseException) -> ExitCode:
    if is_misplaced(foreign):
        return ExitCode.CONFIGURATION
    is_full = getattr(foreign, "sqlite_errorname", "") in _FULL or getattr(foreign, "errno", 0) == errno.ENOSPC
    return ExitCode.CANNOT_WRITE if is_full else ExitCode.UNAVAILABLE


def cause_of(error: Exception) -> BaseException:
    """Return the driver's own error: the text of SQLAlchemy's would hold the values of the statement."""
    return error.__cause__ or error


def first_line(error: BaseException) -> str:
    """Return what an error says, without the details that may follow: these name rows."""
    return str(error).strip().partition("\n")[0]


def is_misplaced(foreign: BaseException) -> bool:
    """Say whether SQLite cannot have or write its file where it is to be: waiting does not help."""
    return getattr(foreign, "sqlite_errorcode", 0) & 0xFF in _MISPLACED


def check(connection: Connection) -> None:
    """Read the smallest table, from where it is kept."""
    if connection.dialect.name == "sqlite":
        # It would answer from its memory, whatever has become of the file.
        connection.exec_driver_sql("PRAGMA shrink_memory")
    connection.execute(select(AUDIT_HEAD.c.seq)).scalar_one()
