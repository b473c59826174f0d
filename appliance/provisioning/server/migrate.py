"""Opens the database, and migrates it to this version's tables.

Alembic is imported only if there is something to migrate: it takes longer than the rest of the start.
"""

import io
import logging
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, Engine, inspect, text
from sqlalchemy.exc import OperationalError, SQLAlchemyError

from appliance.errors import ConfigurationError
from appliance.permissions import chmod_advice, others_may_read
from appliance.provisioning.server.settings import ServerSettings
from appliance.provisioning.server.store import (
    DatabaseStore,
    StoreUnavailable,
    cause_of,
    first_line,
    is_misplaced,
    open_engine,
)

HEAD: Final = "0004"
"""The newest revision in migrations/versions."""
BASE: Final = "base"
_LOCK: Final = 7_021_934
"""Advisory lock (an arbitrary number): one process at a time migrates a PostgreSQL database."""
_log: Final = logging.getLogger(__name__)


def upgrade(engine: Engine, setting: str = "database_url") -> None:
    """Migrate the database, which ``setting`` names, to `HEAD`; does nothing if it is there.

    Raises:
        ConfigurationError: It cannot be created, or is of a newer version than this.
        StoreUnavailable: It cannot be used at the moment.
    """
    try:
        with engine.begin() as connection:
            if revision(connection) != HEAD:
                _alembic("upgrade", connection, HEAD)
    except (SQLAlchemyError, OSError) as error:
        cause = cause_of(error)
        if isinstance(error, OperationalError | OSError) and not is_misplaced(cause):
            raise StoreUnavailable(cause) from None
        raise ConfigurationError(f"{setting}: cannot be used: {first_line(cause)}") from None


def downgrade(engine: Engine, target: str) -> None:
    """Go back to revision ``target``, or to `BASE`: no tables."""
    with engine.begin() as connection:
        _alembic("downgrade", connection, target)


def revision(connection: Connection) -> str | None:
    """Return the revision of the database; None: it is empty."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()


def _alembic(step: str, connection: Connection, target: str) -> None:
    from alembic import command, util  # noqa: PLC0415  see above
    from alembic.config import Config  # noqa: PLC0415

    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
    attributes: dict[str, Any] = {"connection": connection}
    config = Config(stdout=io.StringIO(), attributes=attributes)
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    try:
        {"upgrade": command.upgrade, "downgrade": command.downgrade}[step](config, target)
    except util.CommandError as error:
        raise ConfigurationError(f"database_url: the database is of another version of this server: {error}") from None


def open_store(settings: ServerSettings) -> DatabaseStore:
    """Return the store of the settings, migrated; ``close`` it.

    Raises:
        ConfigurationError: It cannot be created, or is of a newer version than this.
        StoreUnavailable: It cannot be used at the moment.
    """
    setting = "database_url"
    if settings.database_url is None:
        _make_state_dir(settings)
        setting = f"state_dir: {settings.state_dir}"
    store = DatabaseStore(open_engine(settings.database()))
    try:
        upgrade(store.engine, setting)
    except BaseException:
        store.close()
        raise
    return store


def _make_state_dir(settings: ServerSettings) -> None:
    directory = settings.directory()
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise ConfigurationError(f"state_dir: {directory} cannot be used: {error.strerror}") from error
    if others_may_read(directory):
        _log.warning("state_dir: others may read %s: %s", directory, chmod_advice(directory))
