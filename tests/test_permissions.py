"""Keys, join strings, settings and state that others on the machine may read."""

import logging
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.cli import main as cli
from appliance.cli.commands.identity import enrol_command
from appliance.config.schema import Settings
from appliance.doctor.finding import Severity
from appliance.doctor.provisioning import secrets
from appliance.errors import ConfigurationError, ExitCode, ProvisioningUnreachable
from appliance.permissions import others_may_read
from appliance.provisioning.common import keys
from appliance.provisioning.common.join import new_claim
from appliance.provisioning.device.enrolment import LocalDevice
from appliance.provisioning.server import identity
from appliance.provisioning.server.migrate import open_store
from appliance.provisioning.server.program import main as provisiond
from appliance.provisioning.server.settings import load
from appliance.storage.private_dir import PrivateDirectory
from tests.support.devices import join
from tests.support.provisioning import server_settings


@pytest.fixture
def shared() -> Iterator[Path]:
    """A directory that everybody on this machine may enter and list; pytest's own are closed."""
    with tempfile.TemporaryDirectory(prefix="shared-") as name:
        directory = Path(name)
        directory.chmod(0o755)
        if not others_may_read(directory):
            pytest.skip("the directory for temporary files is closed to others")
        yield directory


def write(file: Path, text: str, mode: int) -> Path:
    file.write_text(text)
    file.chmod(mode)
    return file


@pytest.mark.parametrize(("mode", "is_open"), [(0o600, False), (0o640, False), (0o644, True), (0o604, True)])
def test_a_file_is_open_by_its_mode_and_closed_by_any_directory_above_it(shared, mode, is_open):
    file = write(shared / "x", "", mode)
    assert others_may_read(file) is is_open
    link = shared / "link"
    link.symlink_to(file)
    assert others_may_read(link) is is_open
    shared.chmod(0o700)
    assert not others_may_read(file)
    assert not others_may_read(shared / "absent")


@pytest.mark.parametrize("name", ["signing-key.pem", "next-signing-key.pem", "previous-signing-key.pem"])
def test_the_server_refuses_keys_that_others_may_read(shared, name):
    settings = server_settings(state_dir=shared)
    identity.signing_key(settings)
    assert not others_may_read(shared / "signing-key.pem")
    write(shared / name, keys.new_private_key(), 0o644)
    read = {
        "signing-key.pem": identity.signing_key,
        "next-signing-key.pem": identity.next_key,
        "previous-signing-key.pem": identity.previous_key,
    }
    with pytest.raises(ConfigurationError, match=r"others may read .*: chmod o= "):
        read[name](settings)


@pytest.fixture
def _signals_as_before() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("_signals_as_before")
def test_the_server_refuses_a_tls_key_that_others_may_read(shared, capsys, monkeypatch):
    monkeypatch.setenv("GEMINI_API_KEY", "none")
    key = write(shared / "tls-key.pem", "", 0o644)
    file = write(shared / "provisiond.toml", f'tls_key = "{key}"\ntls_certificate = "{key}"\nport = 0\n', 0o644)
    assert provisiond(["--config", str(file)]) == ExitCode.CONFIGURATION
    assert f"tls_key: others may read {key}: chmod o= {key}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ('api_key = "AIza"', "api_key"),
        ('database_url = "postgresql://me:hush@host/x"', "database_url"),
        ('database_url = "postgresql://me@host/x"', None),
    ],
)
def test_the_server_refuses_settings_with_a_secret_that_others_may_read(shared, monkeypatch, text, secret):
    monkeypatch.setenv("GEMINI_API_KEY", "none")
    file = write(shared / "provisiond.toml", text, 0o644)
    if secret is not None:
        with pytest.raises(ConfigurationError, match=f"others may read it, and {secret}") as caught:
            load(file, {})
        assert "hush" not in str(caught.value)
        file.chmod(0o640)
    load(file, {})


def test_a_state_directory_that_others_may_read_is_told(shared, caplog, monkeypatch):
    open_store(server_settings(state_dir=shared)).close()
    assert f"others may read {shared}: chmod o= {shared}" in caplog.text
    caplog.clear()
    with caplog.at_level(logging.WARNING), PrivateDirectory(shared).locked():
        pass
    assert "provisioning.state-exposed" in caplog.text
    monkeypatch.setenv("STATE_DIRECTORY", str(shared))
    assert secrets(Settings()).severity is Severity.NOTE
    write(shared / "device-key-x.pem", "", 0o644)
    found = secrets(Settings())
    assert (found.severity, found.advice.partition(",")[0]) == (Severity.PROBLEM, f"chmod o= {shared}/device-key-x.pem")
    shared.chmod(0o700)
    assert secrets(Settings()).severity is Severity.OK


def test_settings_with_a_key_that_others_may_read_are_told(shared, capsys):
    file = write(shared / "appliance.toml", '[provisioning]\ndevice_key = "none"\n', 0o644)
    assert cli.run(["config", "--config", str(file), "--json"]) == ExitCode.OK
    assert f"appliance: warning: others may read {file}" in capsys.readouterr().err
    file.chmod(0o600)
    cli.run(["config", "--config", str(file), "--json"])
    assert capsys.readouterr().err == ""


def test_a_join_file_that_others_may_read_is_told(shared, tmp_path, capsys):
    string = join(new_claim().text(), url="https://127.0.0.1:9").text()
    place = LocalDevice(PrivateDirectory(tmp_path), Settings().provisioning)
    for mode in (0o644, 0o600):
        file = write(shared / "join", string, mode)
        with pytest.raises(ProvisioningUnreachable):
            enrol_command(place, file, None)
        assert (f"others may read {file}" in capsys.readouterr().out) is (mode == 0o644)
