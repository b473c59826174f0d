import sqlite3
from contextlib import closing

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import event, inspect, select, text

from appliance.errors import ConfigurationError, ExitCode
from appliance.provisioning.server import audit, devices, migrate
from appliance.provisioning.server.schema import DEVICE, METADATA
from appliance.provisioning.server.store import DatabaseStore, StoreUnavailable, open_engine
from tests.support.provisioning import DEVICE as KITCHEN
from tests.support.provisioning import KEY

ENTRY = audit.Entry(1, "admin", audit.AuditAction.CLAIM_CREATED, "k7m2qd")


def test_the_migrations_make_the_tables_that_the_code_works_with(store):
    with store.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), METADATA) == []


def test_the_newest_revision_is_the_one_that_the_code_asks_for():
    scripts = ScriptDirectory(str(migrate.__file__).replace("migrate.py", "migrations"))
    assert scripts.get_current_head() == migrate.HEAD


def test_a_database_with_devices_goes_down_and_up_again_and_keeps_them(store):
    store.transact_here(lambda c: devices.apply_settings(c, {KITCHEN: KEY.public_key()}, 1))
    store.transact_here(lambda c: audit.append(c, ENTRY))
    migrate.downgrade(store.engine, "0001")
    migrate.upgrade(store.engine)
    assert store.transact_here(lambda c: c.execute(select(DEVICE.c.id)).scalars().all()) == [KITCHEN]
    store.transact_here(lambda c: audit.append(c, ENTRY))
    assert store.transact_here(audit.first_break) is None


def test_all_the_way_down_leaves_nothing(store):
    migrate.downgrade(store.engine, migrate.BASE)
    assert inspect(store.engine).get_table_names() == ["alembic_version"]
    migrate.upgrade(store.engine)
    assert DEVICE.name in inspect(store.engine).get_table_names()


def test_a_database_of_a_newer_server_is_left_alone(store):
    store.transact_here(lambda c: c.execute(text("UPDATE alembic_version SET version_num = '9999'")))
    with pytest.raises(ConfigurationError, match="another version"):
        migrate.upgrade(store.engine)


@pytest.mark.parametrize("url", ["mysql://x/y", "nonsense", "postgresql+asyncpg://x/y", "sqlite+aiosqlite:///x"])
def test_an_address_that_is_none_is_a_wrong_setting(url):
    with pytest.raises(ConfigurationError, match="database_url"):
        open_engine(url)


def test_a_file_in_no_directory_is_a_wrong_setting(tmp_path):
    with (
        closing(DatabaseStore(open_engine(f"sqlite:///{tmp_path}/absent/x.sqlite"))) as store,
        pytest.raises(ConfigurationError, match="database_url: cannot be used"),
    ):
        migrate.upgrade(store.engine)


def test_a_server_that_cannot_be_reached_may_answer_later_and_its_password_is_not_told():
    with (
        closing(DatabaseStore(open_engine("postgresql://me:hush-hush@127.0.0.1:9/x?connect_timeout=1"))) as store,
        pytest.raises(StoreUnavailable, match="Connection refused") as caught,
    ):
        migrate.upgrade(store.engine)
    assert caught.value.exit_code is ExitCode.UNAVAILABLE
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize(
    ("pragma", "code"), [("max_page_count=8", ExitCode.CANNOT_WRITE), ("query_only=1", ExitCode.CONFIGURATION)]
)
def test_a_full_disk_and_a_file_of_somebody_else_have_codes_of_their_own(tmp_path, pragma, code):
    engine = open_engine(f"sqlite:///{tmp_path}/x.sqlite")
    with closing(DatabaseStore(engine)) as store:
        event.listen(engine, "connect", lambda connection, _: connection.execute(f"PRAGMA {pragma}").close())
        with pytest.raises((StoreUnavailable, ConfigurationError)) as caught:
            migrate.upgrade(engine)
        assert caught.value.exit_code is code
        if code is ExitCode.CONFIGURATION:
            with pytest.raises(StoreUnavailable, match="readonly") as caught:
                store.transact_here(lambda c: c.execute(text("CREATE TABLE x (y)")))
            assert caught.value.exit_code is code


def test_a_database_that_somebody_else_writes_to_is_unavailable(tmp_path):
    engine = open_engine(f"sqlite:///{tmp_path}/x.sqlite")
    event.listen(engine, "connect", lambda connection, _: connection.execute("PRAGMA busy_timeout=1").close())
    with closing(DatabaseStore(engine)), closing(sqlite3.connect(tmp_path / "x.sqlite")) as other:
        other.execute("PRAGMA journal_mode=WAL")
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreUnavailable, match="locked") as caught:
            migrate.upgrade(engine)
    assert caught.value.exit_code is ExitCode.UNAVAILABLE
