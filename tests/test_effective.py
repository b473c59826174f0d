"""Settings: layers, origins, secrets, and one clear line for each mistake."""

from pathlib import Path

import pytest

from appliance.effective import load
from appliance.errors import ConfigurationError, ExitCode
from appliance.settings import AlsaMicrophone, StatePins, WavMicrophone


def _file(directory: Path, text: str, name: str = "appliance.toml") -> Path:
    path = directory / name
    path.write_text(text)
    return path


def test_defaults_need_no_file():
    effective = load([])
    assert isinstance(effective.settings.microphone, AlsaMicrophone)
    assert all(origin == "default" for _, _, origin in effective.rows())


def test_later_sources_win_and_say_where_a_value_came_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = _file(tmp_path, '[live]\nvoice = "Puck"\nlanguage = "de-DE"\n[conversation]\npreroll_ms = 100\n')
    (tmp_path / "appliance.toml.d").mkdir()
    drop_in = _file(tmp_path / "appliance.toml.d", '[live]\nlanguage = "fr-FR"\n', "10-french.toml")
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    (credentials / "provisioning__device_key").write_text("secret-key-text")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(credentials))
    monkeypatch.setenv("APPLIANCE_CONVERSATION__PREROLL_MS", "300")
    effective = load([path], {"conversation": {"min_hold_ms": 400}})
    rows = {key: (value, origin) for key, value, origin in effective.rows()}
    assert rows["live.voice"] == ("Puck", str(path))
    assert rows["live.language"] == ("fr-FR", str(drop_in))
    assert rows["conversation.preroll_ms"] == ("300", "environment")
    assert rows["conversation.min_hold_ms"] == ("400", "command line")
    assert rows["provisioning.device_key"] == ("set, not shown", "credential")
    key = effective.settings.provisioning.device_key
    assert key is not None
    assert key.get_secret_value() == "secret-key-text"
    assert "secret-key-text" not in repr(effective.settings)


def test_kinds_choose_the_form_of_a_section(tmp_path: Path):
    text = '[microphone]\nkind = "wav"\npath = "a.wav"\n[indicator.pins]\nlayout = "per-state"\nspeaking = 5\n'
    settings = load([_file(tmp_path, text)]).settings
    assert isinstance(settings.microphone, WavMicrophone)
    pins = getattr(settings.indicator, "pins", None)
    assert isinstance(pins, StatePins)
    assert pins.speaking == 5


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('[microphone]\ndevise = "x"', "microphone.devise: there is no such setting; did you mean microphone.device?"),
        ("[lieve]\na = 1", "lieve: there is no such setting; did you mean live?"),
        ("[indicator.pins]\nrod = 1", "indicator.pins.rod: there is no such setting; did you mean indicator.pins.red?"),
        ('[speaker]\nkind = "usb"', "speaker: no such kind 'usb'; it is one of 'alsa', 'wav'"),
        ("[conversation]\npreroll_ms = -3", "conversation.preroll_ms: input should be greater than or equal to 0"),
        ('[conversation]\nbarge_in = "x"', "conversation.barge_in: input should be 'voice', 'wake-word' or 'button'"),
    ],
)
def test_a_mistake_is_one_line_with_file_key_and_a_hint(tmp_path: Path, text: str, line: str):
    path = _file(tmp_path, text)
    with pytest.raises(ConfigurationError) as caught:
        load([path])
    assert caught.value.mistakes == (f"{path}: {line}",)
    assert caught.value.exit_code is ExitCode.CONFIGURATION


def test_every_mistake_is_told_at_once(tmp_path: Path):
    with pytest.raises(ConfigurationError) as caught:
        load([_file(tmp_path, "[live]\nvoise = 1\n[log]\nlevel = 2\n[tools]\ntimeout_s = 'soon'")])
    assert len(caught.value.mistakes) == 3


def test_a_mistake_in_the_environment_is_told_as_such(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("APPLIANCE_LOG__LEVEL", "loud")
    with pytest.raises(ConfigurationError, match=r"environment: log\.level"):
        load([])


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("APPLIANCE_LVIE__VOICE", "environment: lvie: there is no such setting; did you mean live?"),
        ("APPLIANCE_LIVE__VIOCE", "environment: live.vioce: there is no such setting; did you mean live.voice?"),
        ("APPLIANCE_TOOLS__ENABLED", "environment: .*tools.*; lists and whole sections are written as JSON"),
    ],
)
def test_a_variable_that_names_no_setting_or_is_not_json_is_told(monkeypatch: pytest.MonkeyPatch, name: str, line: str):
    monkeypatch.setenv(name, "get_time")
    with pytest.raises(ConfigurationError, match=line):
        load([])


def test_a_variable_that_is_no_setting_of_a_section_is_left_alone(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("APPLIANCE_DEBUG", "1")
    load([])


def test_what_is_missing_is_told_where_the_rest_of_its_section_is(tmp_path: Path):
    path = _file(tmp_path, '[microphone]\nkind = "wav"')
    with pytest.raises(ConfigurationError) as caught:
        load([path])
    assert caught.value.mistakes == (f"{path}: microphone.path: field required",)


def test_a_file_that_is_missing_or_not_toml_is_named(tmp_path: Path):
    with pytest.raises(ConfigurationError, match=r"absent.toml: cannot be read: No such file"):
        load([tmp_path / "absent.toml"])
    with pytest.raises(ConfigurationError, match=r"appliance.toml: is not valid TOML"):
        load([_file(tmp_path, "[live\n")])


def test_settings_are_frozen():
    settings = load([]).settings
    with pytest.raises(ValueError, match="frozen"):
        settings.live.voice = "Puck"  # type: ignore[misc]


def test_a_recording_is_not_to_be_written_over(tmp_path: Path):
    wav = tmp_path / "a.wav"
    config = _file(
        tmp_path, f'[microphone]\nkind = "wav"\npath = "{wav}"\n[speaker]\nkind = "wav"\npath = "{tmp_path}/./a.wav"\n'
    )
    with pytest.raises(ConfigurationError) as caught:
        load([config], {})
    assert caught.value.mistakes == (
        f"speaker.path: {tmp_path / 'a.wav'} is the microphone's file, and would be overwritten",
    )
