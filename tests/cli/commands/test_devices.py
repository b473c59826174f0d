"""`appliance devices`: each card with the value to set, and what keeps it from being used."""

import json
from pathlib import Path

import pytest

from appliance.cli.commands.devices import devices_command
from appliance.config.devices import AlsaMicrophoneSettings, AlsaSpeakerSettings
from appliance.config.schema import Settings
from appliance.errors import ExitCode
from appliance.virtual_card.card import Fault
from tests.support.alsa import machine
from tests.support.virtual_card import PlugIn


def settings(microphone: str = "", speaker: str = "") -> Settings:
    return Settings(microphone=AlsaMicrophoneSettings(device=microphone), speaker=AlsaSpeakerSettings(device=speaker))


def test_cards_are_listed_with_the_values_to_set_and_what_the_settings_choose(tmp_path: Path, capsys):
    code = devices_command(settings("Device"), as_json=True, root=machine(tmp_path))
    rows = json.loads(capsys.readouterr().out)
    assert code == ExitCode.OK
    assert [(row["direction"], row["value"], row["also"], row["chosen"]) for row in rows] == [
        ("microphone", "Device", "usb:1-1.3", True),
        ("speaker", "vc4hdmi0", None, False),
        ("speaker", "Device", "usb:1-1.3", False),
    ]
    assert all(row["state"] == "not there" for row in rows)  # this machine has none of them
    devices_command(settings("Device"), as_json=False, root=machine(tmp_path / "again"))
    assert "microphone.device" in capsys.readouterr().out


def test_without_any_card_it_says_what_to_do(tmp_path: Path, capsys):
    assert devices_command(settings(), as_json=False, root=tmp_path) == ExitCode.NO_INPUT
    assert "Plug one in" in capsys.readouterr().out
    assert devices_command(settings(), as_json=True, root=tmp_path) == ExitCode.NO_INPUT
    assert json.loads(capsys.readouterr().out) == []


@pytest.mark.parametrize(
    ("fault", "state"),
    [
        (Fault.FINE, "free"),
        (Fault.BUSY, "in use by another program"),
        (Fault.DENIED, "permission denied: add this user to"),
    ],
)
def test_a_pcm_of_asound_conf_that_the_settings_name_is_listed_too(plug_in: PlugIn, tmp_path, capsys, fault, state):
    plug_in().microphone.fail(fault)
    assert devices_command(settings("virtual_mic"), as_json=True, root=tmp_path / "bare") == ExitCode.OK
    [row] = json.loads(capsys.readouterr().out)
    assert (row["value"], row["chosen"]) == ("virtual_mic", True)
    assert row["state"].startswith(state)


def test_a_mistake_in_asound_conf_is_told_in_alsas_own_words(plug_in: PlugIn, tmp_path, capsys):
    plug_in().configure("pcm.extra {\n type plug\n")
    assert devices_command(settings("virtual_mic"), as_json=True, root=tmp_path / "bare") == ExitCode.OK
    [row] = json.loads(capsys.readouterr().out)
    assert row["state"].startswith("cannot be opened: ")
    assert "asound.conf may be old or corrupted" in row["state"]
