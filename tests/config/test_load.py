"""Settings: layers, origins, secrets, and one clear line for each mistake."""

from pathlib import Path

import pytest

from appliance.config.devices import AlsaMicrophoneSettings, StatePins, WavMicrophoneSettings, WavSpeakerSettings
from appliance.config.load import load
from appliance.errors import ConfigurationError, ExitCode


def _file(directory: Path, text: str, name: str = "appliance.toml") -> Path:
    path = directory / name
    path.write_text(text)
    return path


def test_defaults_need_no_file():
    effective = load([])
    assert isinstance(effective.settings.microphone, AlsaMicrophoneSettings)
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


def test_relative_paths_of_a_file_count_from_it_also_in_a_section_of_several_kinds(tmp_path: Path):
    path = _file(tmp_path, '[microphone]\nkind = "wav"\npath = "q.wav"\n[provisioning]\nca_file = "/ca.pem"\n')
    (tmp_path / "appliance.toml.d").mkdir()
    _file(tmp_path / "appliance.toml.d", '[speaker]\nkind = "wav"\npath = "a.wav"\n', "x.toml")
    settings = load([path], {"provisioning": {"device_key_file": "k.pem"}}).settings
    assert isinstance(settings.microphone, WavMicrophoneSettings)
    assert settings.microphone.path == tmp_path / "q.wav"
    assert isinstance(settings.speaker, WavSpeakerSettings)
    assert settings.speaker.path == tmp_path / "appliance.toml.d" / "a.wav"
    assert settings.provisioning.ca_file == Path("/ca.pem")
    assert settings.provisioning.device_key_file == Path("k.pem")


def test_kinds_choose_the_form_of_a_section(tmp_path: Path):
    text = '[microphone]\nkind = "wav"\npath = "a.wav"\n[indicator.pins]\nlayout = "per-state"\nspeaking = 5\n'
    settings = load([_file(tmp_path, text)]).settings
    assert isinstance(settings.microphone, WavMicrophoneSettings)
    pins = getattr(settings.indicator, "pins", None)
    assert isinstance(pins, StatePins)
    assert pins.speaking == 5


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('[microphone]\ndevise = "x"', "microphone.devise: there is no such setting; did you mean microphone.device?"),
        ("[lieve]\na = 1", "lieve: there is no such setting; did you mean live?"),
        ('live_voice = "Puck"', "live_voice: there is no such setting; did you mean live.voice?"),
        ("[indicator]\npins_red = 1", "indicator.pins_red: there is no such setting; did you mean indicator.pins.red?"),
        ("[indicator.pins]\nrod = 1", "indicator.pins.rod: there is no such setting; did you mean indicator.pins.red?"),
        ('[speaker]\nkind = "usb"', "speaker: no such kind 'usb'; it is one of 'alsa', 'wav'"),
        ("[conversation]\npreroll_ms = -3", "conversation.preroll_ms: input should be greater than or equal to 0"),
        (
            '[conversation]\nbarge_in = "x"',
            "conversation.barge_in: input should be 'auto', 'voice', 'wake-word' or 'button'",
        ),
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
        (
            "APPLIANCE_LVIE__VOICE",
            "APPLIANCE_LVIE__VOICE: there is no such setting; did you mean APPLIANCE_LIVE__VOICE?",
        ),
        (
            "APPLIANCE_LIVE__VIOCE",
            "APPLIANCE_LIVE__VIOCE: there is no such setting; did you mean APPLIANCE_LIVE__VOICE?",
        ),
        ("APPLIANCE_LIVE_VOICE", "APPLIANCE_LIVE_VOICE: there is no such setting; did you mean APPLIANCE_LIVE__VOICE?"),
        ("appliance_caps_day", "APPLIANCE_CAPS_DAY: there is no such setting; did you mean APPLIANCE_CAPS__DAY?"),
        ("APPLIANCE_SPEEKER", "APPLIANCE_SPEEKER: there is no such setting; did you mean APPLIANCE_SPEAKER?"),
        ("APPLIANCE_DEBUGGING", "APPLIANCE_DEBUGGING: there is no such setting; known here: button, caps, "),
        (
            "APPLIANCE_TOOLS__ENABLED",
            'error parsing value for field "tools" from source "EnvSettingsSource"; write lists and ',
        ),
    ],
)
def test_a_variable_that_names_no_setting_or_is_not_json_is_told(monkeypatch: pytest.MonkeyPatch, name: str, line: str):
    monkeypatch.setenv(name, "get_time")
    with pytest.raises(ConfigurationError) as caught:
        load([])
    (mistake,) = caught.value.mistakes
    assert mistake.startswith(f"environment: {line}")


def test_a_variable_of_nothing_but_brackets_is_one_line(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("APPLIANCE_TOOLS__ENABLED", "[" * 20_000)
    with pytest.raises(ConfigurationError, match=r"^environment: .*; write lists and whole sections as JSON$"):
        load([])


def test_the_variables_of_who_works_on_it_are_no_settings(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("APPLIANCE_DEBUG", "1")
    monkeypatch.setenv("APPLIANCE_PYTHON", "python3.13")
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


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[caps]\nday = " + "9" * 5_000, "is not valid TOML: "),
        ("a = " + "[" * 20_000, "is not valid TOML: "),
        (f"[{'.'.join('a' * 4_000)}]", "nested too deeply"),
        ("\udcff", "is not UTF-8 text: save it as UTF-8"),
    ],
)
def test_a_file_that_is_beyond_reading_is_one_line(tmp_path: Path, text: str, says: str):
    path = tmp_path / "appliance.toml"
    path.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(ConfigurationError, match=says) as caught:
        load([path])
    assert str(caught.value).count("\n") == 0


def test_a_byte_order_mark_is_read_over(tmp_path: Path):
    path = tmp_path / "appliance.toml"
    path.write_text('[live]\nvoice = "Puck"\n', encoding="utf-8-sig")
    assert load([path]).settings.live.voice == "Puck"


def test_drop_ins_that_cannot_be_looked_for_are_told(tmp_path: Path):
    path = _file(tmp_path, "")
    drop_ins = tmp_path / "appliance.toml.d"
    drop_ins.symlink_to(drop_ins)
    with pytest.raises(ConfigurationError, match=r"appliance.toml.d: cannot be read: Too many levels"):
        load([path])
    with pytest.raises(ConfigurationError, match="aaa: cannot be read: File name too long"):
        load([tmp_path / ("a" * 300)])


def test_a_credential_that_cannot_be_read_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    credential = tmp_path / "provisioning__device_key"
    credential.write_bytes(b"\xff")
    with pytest.raises(ConfigurationError, match="credential: is not UTF-8 text"):
        load([])
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(credential))
    with pytest.raises(ConfigurationError, match="credential: secrets_dir must reference a directory"):
        load([])
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path / ("a" * 300)))
    with pytest.raises(ConfigurationError, match="credential: cannot be read: File name too long"):
        load([])


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
