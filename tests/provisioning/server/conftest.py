"""Databases: what is true on SQLite has to be true on PostgreSQL."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import make_url

from appliance.provisioning.server import migrate
from appliance.provisioning.server.store import DatabaseStore, open_engine
from tests.support.databases import new_database, postgres, programs
from tests.support.provisioning import empty_database

BOTH = [pytest.param("sqlite"), pytest.param("postgres", marks=pytest.mark.postgres)]


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    where = programs()
    if where is None:
        pytest.skip("PostgreSQL is not installed: apt-get install postgresql")
    with postgres(where) as server:
        yield server


@pytest.fixture(params=BOTH)
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of an empty database, on each engine in turn."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'test.sqlite'}"
    server: str = request.getfixturevalue("postgres_server")
    return new_database(server)


@pytest.fixture
def store(database_url: str) -> Iterator[DatabaseStore]:
    """A store with its own threads, on each engine in turn."""
    file = make_url(database_url).database
    if database_url.startswith("sqlite:") and file is not None:
        Path(file).write_bytes(empty_database())
    made = DatabaseStore(open_engine(database_url))
    migrate.upgrade(made.engine)
    yield made
    made.close()
