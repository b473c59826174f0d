import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from appliance.errors import ConfigurationError
from appliance.provisioning.common import keys
from appliance.provisioning.server.settings import load, load_for_admin
from tests.support.provisioning import API_KEY, KEY, server_settings

DEVICES = f'[devices]\nkitchen = "{keys.public_key_text(KEY)}"\n'


def write(tmp_path, text: str):
    file = tmp_path / "provisiond.toml"
    file.write_text(text)
    return file


def mistakes(file, **flags) -> tuple[str, ...]:
    with pytest.raises(ConfigurationError) as caught:
        load(file, flags)
    return caught.value.mistakes


def test_later_sources_win(tmp_path, monkeypatch):
    file = write(tmp_path, 'model = "of-the-file"\nport = 1\n[lock]\nvoice = "Kore"\nlanguage = "de-DE"\n' + DEVICES)
    monkeypatch.setenv("PROVISIOND_PORT", "2")
    monkeypatch.setenv("PROVISIOND_LOCK__VOICE", "Puck")
    monkeypatch.setenv("GEMINI_API_KEY", API_KEY)
    settings = load(file, {"host": "::1"})
    assert (settings.host, settings.port, settings.model) == ("::1", 2, "of-the-file")
    assert (settings.lock.voice, settings.lock.language) == ("Puck", "de-DE")
    assert settings.devices == {"kitchen": KEY.public_key()}
    assert load(file, {"port": 3}).port == 3


def test_relative_paths_count_from_the_file_that_holds_them(tmp_path, monkeypatch):
    (tmp_path / "etc").mkdir()
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "etc" / "provisiond.toml"
    file.write_text('state_dir = "state"\ntls_key = "/k.pem"\nhost = "h"\n[upstream]\nca_file = "../ca.pem"\n')
    monkeypatch.setenv("PROVISIOND_TLS_CERTIFICATE", "c.pem")
    for given in (file, file.relative_to(tmp_path)):
        settings = load(given, {"api_key": API_KEY})
        assert settings.state_dir == tmp_path / "etc" / "state"
        assert (settings.tls_key, settings.host) == (Path("/k.pem"), "h")
        assert settings.upstream.ca_file == tmp_path / "etc" / ".." / "ca.pem"
        assert settings.tls_certificate == Path("c.pem"), "one of a variable counts from where the program runs"


def test_the_state_directory_is_systemds_or_beside_the_file(tmp_path, monkeypatch):
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)
    file = write(tmp_path, 'host = "::"')
    assert load(file, {"api_key": API_KEY}).directory() == tmp_path / "state"
    monkeypatch.setenv("STATE_DIRECTORY", "/var/lib/x:/var/lib/y")
    assert load(file, {"api_key": API_KEY}).directory() == Path("/var/lib/x")
    write(tmp_path, 'state_dir = "own"')
    assert load(file, {"api_key": API_KEY}).directory() == tmp_path / "own"


def test_the_key_of_a_credential_goes_before_the_one_of_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("GEMINI_API_KEY", "another")
    assert load(None, {}).api_key.get_secret_value() == "another"
    (tmp_path / "gemini-api-key").write_text(API_KEY + "\n")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert load(None, {}).api_key.get_secret_value() == API_KEY


def test_each_mistake_is_one_line_that_names_the_place_and_what_was_meant(tmp_path):
    file = write(
        tmp_path, 'prot = 1\nmax_session_min = 600\n[lock]\nvoic = "x"\n[devices]\nkitchen = "zzz"\n"a b" = "x"\n'
    )
    lines = mistakes(file, api_key=API_KEY)
    assert all("\n" not in line for line in lines)
    for expected in (
        f"{file}: prot: there is no such setting; did you mean port?",
        f"{file}: lock.voic: there is no such setting; did you mean lock.voice?",
        f"{file}: max_session_min: input should be less than or equal to 60",
    ):
        assert expected in lines
    assert any(line.startswith(f"{file}: devices.kitchen: neither an Ed25519 public key in PEM") for line in lines)
    assert any(line.startswith(f"{file}: devices.a b: ") for line in lines)


def test_without_a_key_it_says_where_to_put_one():
    assert mistakes(None) == ("api_key: missing; set GEMINI_API_KEY, or the systemd credential gemini-api-key",)


@pytest.mark.parametrize("blank", ["", " ", " \n\t"])
def test_a_blank_key_is_none_and_the_commands_need_none(monkeypatch, tmp_path, blank):
    monkeypatch.setenv("GEMINI_API_KEY", blank)
    missing = "api_key: missing; set GEMINI_API_KEY, or the systemd credential gemini-api-key"
    assert mistakes(None) == (missing,)
    assert mistakes(None, api_key=blank) == (missing,)
    assert mistakes(write(tmp_path, f"api_key = {json.dumps(blank)}")) == (missing,)
    assert load_for_admin(None, {}).model


def test_a_variable_that_is_no_setting_is_told_with_what_was_meant(monkeypatch):
    monkeypatch.setenv("PROVISIOND_PUBLIC_ULR", "https://nas.test")
    (line,) = mistakes(None, api_key=API_KEY)
    assert line.startswith("environment: ")
    assert "did you mean PROVISIOND_PUBLIC_URL?" in line


def test_a_file_that_cannot_be_read_is_one_line(tmp_path):
    assert "cannot be read" in mistakes(tmp_path / "absent.toml")[0]
    assert "not valid TOML" in mistakes(write(tmp_path, "model = "))[0]


def test_a_variable_that_cannot_be_read_is_one_line(monkeypatch):
    monkeypatch.setenv("PROVISIOND_DEVICES", "{broken")
    assert mistakes(None, api_key=API_KEY)[0].startswith("environment: ")


@pytest.mark.parametrize("url", ["http://plain.test", "wss://live.test", "https://live.test/?key=1"])
def test_addresses_are_https(url):
    with pytest.raises(ValidationError):
        server_settings(live_base_url=url)


@pytest.mark.parametrize("name", ["https://nas.test", "nas.test/", "nas.test:", "", "a b"])
def test_a_name_that_no_device_can_send_is_refused_at_once(tmp_path, name):
    """With it in the settings the server would refuse every request, and devices say that it won't let them in."""
    (mistake,) = mistakes(write(tmp_path, f'authorities = ["nas.test:8443", "[::1]", "{name}"]\napi_key = "k"\n'))
    assert mistake.endswith("authorities.2: has to be host or host:port, without https:// and path")


def test_settings_are_frozen():
    with pytest.raises(ValidationError):
        server_settings().port = 1  # type: ignore[misc]
