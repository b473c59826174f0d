import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import inspect, select, text

from appliance.errors import ConfigurationError
from appliance.provisioning.server import audit, devices, migrate
from appliance.provisioning.server.schema import DEVICE, METADATA
from appliance.provisioning.server.store import Store, open_engine
from tests.provisioning.worlds import DEVICE as KITCHEN
from tests.provisioning.worlds import KEY

ENTRY = audit.Entry(1, "admin", audit.Action.CLAIM_CREATED, "k7m2qd")


def test_the_migrations_make_the_tables_that_the_code_works_with(store):
    with store.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), METADATA) == []


def test_the_newest_revision_is_the_one_that_the_code_asks_for():
    scripts = ScriptDirectory(str(migrate.__file__).replace("migrate.py", "migrations"))
    assert scripts.get_current_head() == migrate.HEAD


def test_a_database_with_devices_goes_down_and_up_again_and_keeps_them(store):
    store.transact_here(lambda c: devices.take_in(c, {KITCHEN: KEY.public_key()}, 1))
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


def test_a_database_that_cannot_be_reached_is_a_wrong_setting_without_its_password(tmp_path):
    for url in (f"sqlite:///{tmp_path}/absent/x.sqlite", "postgresql://me:hush-hush@127.0.0.1:9/x?connect_timeout=1"):
        store = Store(open_engine(url))
        with pytest.raises(ConfigurationError, match="database_url: cannot be used") as caught:
            migrate.upgrade(store.engine)
        assert "hush" not in str(caught.value)
        store.close()
