"""Opens the database that the settings name, in its newest form."""

import logging
from typing import Final

from appliance.errors import ConfigurationError
from appliance.private import advice, others_may_read
from appliance.provisioning.server import migrate
from appliance.provisioning.server.settings import Settings
from appliance.provisioning.server.store import Store, open_engine

_log: Final = logging.getLogger(__name__)


def open_store(settings: Settings) -> Store:
    """Return the database; ``close`` it.

    Raises:
        ConfigurationError: There is no place for one, or it is of a newer version than this.
        StoreUnavailable: It cannot be reached, or does not do it now.
    """
    setting = "database_url"
    if settings.database_url is None:
        _make_state_dir(settings)
        setting = f"state_dir: {settings.state_dir}"
    store = Store(open_engine(settings.database()))
    try:
        migrate.upgrade(store.engine, setting)
    except BaseException:
        store.close()
        raise
    return store


def _make_state_dir(settings: Settings) -> None:
    directory = settings.directory()
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise ConfigurationError(f"state_dir: {directory} cannot be used: {error.strerror}") from error
    if others_may_read(directory):
        _log.warning("state_dir: others may read %s: %s", directory, advice(directory))
