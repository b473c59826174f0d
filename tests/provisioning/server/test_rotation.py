"""How the server's own key is replaced."""

import json
from dataclasses import replace
from datetime import UTC, datetime

import httpx2
import pytest

from appliance.errors import ConfigurationError, ExitCode
from appliance.provisioning import keys
from appliance.provisioning.protocol import DeviceView
from appliance.provisioning.server import identity
from appliance.provisioning.server.app import create_app
from appliance.provisioning.server.program import main as provisiond
from appliance.provisioning.server.store import Store, open_engine
from tests.clock import run_virtual
from tests.provisioning.worlds import OPEN, InThisThread, World, server_settings, world


@pytest.fixture
def admin(tmp_path, capsys, monkeypatch):
    """Return a function that does a command about keys and returns its exit code and output."""
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path))

    def do(*arguments: str):
        code = provisiond(["admin", "--json", "keys", *arguments])
        out, err = capsys.readouterr()
        return code, json.loads(out) if out else err

    return do


@pytest.fixture
def here(admin, tmp_path) -> World:
    """A server on the same database, with one device, now."""
    admin("show")
    store = Store(open_engine(f"sqlite:///{tmp_path / 'provisiond.sqlite'}"), InThisThread())
    OPEN.append(store)
    made = world(store=store)
    made.now = datetime.now(UTC)
    return made


def test_the_next_key_signs_once_every_device_has_been_heard_of(admin, here):
    _, before = admin("show")
    assert (before["announced"], before["unheard"]) == (None, None)
    code, announced = admin("announce")
    assert (code, announced["signs"], announced["unheard"]) == (ExitCode.OK, before["signs"], 1)
    assert announced["announced"] not in {None, before["signs"]}
    assert admin("announce") == (code, announced)
    code, words = admin("rotate")
    assert code == ExitCode.DATA
    assert "enrol again: 1 of the devices" in words

    async def main() -> None:
        here.later(minutes=1)
        assert (await here.token()).status_code == 200

    run_virtual(main)
    assert admin("rotate") == (ExitCode.OK, {"signs": announced["announced"], "announced": None, "unheard": None})
    assert admin("rotate")[0] == ExitCode.NO_INPUT


def test_devices_can_be_left_behind(admin, here):
    announced = admin("announce")[1]["announced"]
    assert admin("rotate", "--leave-behind")[1]["signs"] == announced


def test_devices_are_told_both_keys_and_the_first_one_signs(admin, here, tmp_path):
    admin("announce")
    settings = server_settings(state_dir=tmp_path)
    after = identity.next_key(settings)
    assert after
    parts = replace(here.parts, key=identity.signing_key(settings), next_key=after)
    here.transport = httpx2.ASGITransport(create_app(parts))

    async def main() -> None:
        response = await here.ask("GET", "/v1/device")
        told = DeviceView.model_validate_json(response.content).server_keys
        assert [key.kid for key in told] == [keys.thumbprint(key) for key in (parts.key, after)]
        assert f'keyid="{told[0].kid}"' in response.headers["signature-input"]

    run_virtual(main)


def test_the_next_key_of_a_credential_lies_beside_it_and_is_not_made_here(tmp_path, monkeypatch):
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    settings = server_settings(state_dir=tmp_path / "state")
    for name in ("signing-key", "next-signing-key"):
        (tmp_path / name).write_text(keys.new_private_key(), encoding="ascii")
    read = [identity.signing_key(settings), identity.next_key(settings)]
    assert len({keys.thumbprint(key) for key in read if key}) == 2
    assert not (tmp_path / "state").exists()


def test_a_next_key_that_is_none_is_a_wrong_setting(tmp_path):
    settings = server_settings(state_dir=tmp_path)
    identity.signing_key(settings)
    (tmp_path / "next-signing-key.pem").write_text("nonsense", encoding="ascii")
    with pytest.raises(ConfigurationError, match=r"next-signing-key\.pem"):
        identity.next_key(settings)
