"""A database without its key, or with another one: the server refuses to start, and makes no key that nobody trusts."""

import pytest

from appliance.errors import ConfigurationError, ExitCode
from appliance.provisioning.common import keys
from appliance.provisioning.server import audit, devices, identity
from appliance.provisioning.server.identity import own_key
from appliance.provisioning.server.program import main as provisiond
from appliance.provisioning.server.schema import DEVICE
from appliance.provisioning.server.store import DatabaseStore, open_engine
from tests.clock import run_virtual
from tests.provisioning.server.certificates import issue
from tests.support.provisioning import OPEN, InThisThread, World, put_empty_database, server_settings, world


@pytest.fixture
def here(tmp_path, monkeypatch) -> World:
    """A server that has made its key and has one device that has enrolled."""
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path))
    put_empty_database(tmp_path)
    settings = server_settings(state_dir=tmp_path, devices={})
    provisiond(["admin", "claims", "list"])
    store = DatabaseStore(open_engine(settings.database()), InThisThread())
    OPEN.append(store)
    made = World(settings, store, world().upstream, key=identity.signing_key(settings))
    device = keys.private_key(keys.new_private_key())
    assert run_virtual(lambda: made.enrol(made.claim(), device)).status_code == 201
    return made


def test_its_own_key_is_taken_also_the_one_before_and_the_one_to_come(here):
    own = here.work(lambda c: own_key(c, here.settings))
    identity.make_next_key(here.settings)
    identity.take_next_key(here.settings)
    assert here.work(lambda c: own_key(c, here.settings)) != own
    identity.drop_previous_key(here.settings)
    with pytest.raises(ConfigurationError, match="is not the key that one device in the database trusts"):
        here.work(lambda c: own_key(c, here.settings))


def test_a_new_server_makes_its_key_also_with_devices_in_its_settings(tmp_path):
    new = world(state_dir=tmp_path)
    assert new.work(lambda c: own_key(c, new.settings))


@pytest.mark.parametrize("damage", ["absent", "another"])
@pytest.mark.parametrize(
    "command", [[], ["admin", "claims", "create", "--url", "https://nas.test"], ["admin", "keys", "show"]]
)
def test_a_database_whose_key_is_lost_ends_it_with_78_and_leaves_all_as_it_is(
    here, tmp_path, monkeypatch, capsys, damage, command
):
    file = tmp_path / "signing-key.pem"
    file.unlink()
    if damage == "another":
        file.write_text(keys.new_private_key())
    issue(tmp_path, 90)
    monkeypatch.setenv("GEMINI_API_KEY", "x")
    monkeypatch.setenv("PROVISIOND_TLS_CERTIFICATE", str(tmp_path / "tls-certificate.pem"))
    monkeypatch.setenv("PROVISIOND_TLS_KEY", str(tmp_path / "tls-key.pem"))
    assert provisiond(command) == ExitCode.CONFIGURATION
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert err.startswith(f"appliance-provisiond: signing_key_file: {file} is ")
    assert "admin restore" in err
    assert file.exists() is (damage == "another")


def test_devices_that_were_revoked_trust_nobody_any_more(here, tmp_path):
    (tmp_path / "signing-key.pem").unlink()
    (device,) = here.work(lambda c: [row.id for row in c.execute(DEVICE.select())])
    here.work(lambda c: devices.move(c, device, audit.AuditAction.REVOKED, here.ms, "admin"))
    assert here.work(lambda c: own_key(c, here.settings))
