"""The command that measures the loop from the speaker to the microphone."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from appliance.audio.echo.loop import LOOP_FILE, LoopMeasurement
from appliance.cli.commands.loop import loop_command
from appliance.config.devices import (
    AlsaMicrophoneSettings,
    AlsaSpeakerSettings,
    WavMicrophoneSettings,
    WavSpeakerSettings,
)
from appliance.config.schema import Settings
from appliance.errors import ExitCode, InputError
from appliance.virtual_card.build import BuildError, plugin
from appliance.virtual_card.card import Fault
from tests.support.virtual_card import PlugIn

VIRTUAL = Settings(
    microphone=AlsaMicrophoneSettings(device="virtual_mic"), speaker=AlsaSpeakerSettings(device="virtual_speaker")
)


def test_a_daemon_that_runs_is_not_disturbed(tmp_path: Path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listening:
        listening.bind(str(tmp_path / "intercom"))
        listening.listen()
        with pytest.raises(InputError, match="systemctl stop appliance") as caught:
            loop_command(VIRTUAL, as_json=True, runtime=tmp_path)
    assert caught.value.exit_code == ExitCode.UNAVAILABLE


def test_recordings_have_no_loop(tmp_path: Path):
    files = Settings(
        microphone=WavMicrophoneSettings(kind="wav", path=tmp_path / "a.wav"),
        speaker=WavSpeakerSettings(kind="wav", path=tmp_path / "b.wav"),
    )
    with pytest.raises(InputError, match="a file instead of a sound card"):
        loop_command(files, as_json=True, runtime=tmp_path)


@pytest.mark.realtime
def test_a_card_that_cannot_be_opened_is_named_in_one_line(plug_in: PlugIn, tmp_path: Path):
    plug_in().speaker.fail(Fault.BUSY)
    config = tmp_path / "appliance.toml"
    config.write_text('[microphone]\nkind = "alsa"\ndevice = "virtual_mic"\n[speaker]\ndevice = "virtual_speaker"\n')
    command = [sys.executable, "-m", "appliance", "doctor", "--loop", "--config", str(config)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == ExitCode.NO_INPUT
    (line,) = done.stderr.splitlines()
    assert line.startswith("appliance: error: another program uses the speaker virtual_speaker")


@pytest.mark.realtime
@pytest.mark.slow
@pytest.mark.parametrize("can_keep", [True, False])
def test_a_speaker_next_to_the_microphone_is_measured_and_the_result_is_kept(tmp_path: Path, can_keep):
    try:
        plugin()
    except BuildError as error:
        pytest.skip(f"no virtual sound card: {error}")
    state, config = tmp_path / "state", tmp_path / "appliance.toml"
    config.write_text('[microphone]\nkind = "alsa"\ndevice = "virtual_mic"\n[speaker]\ndevice = "virtual_speaker"\n')
    if can_keep:
        state.mkdir()
    python = [sys.executable, "-m"]
    command = [*python, "appliance.virtual_card", "--room", "0.3m", "--", *python]
    command += ["appliance", "doctor", "--loop", "--json", "--config", str(config)]
    environment = {**os.environ, "STATE_DIRECTORY": str(state)}
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120, env=environment)
    assert (done.stderr, done.returncode) == ("", ExitCode.OK)
    found = {finding["name"]: finding for finding in json.loads(done.stdout)}
    assert "you can interrupt it by speaking from" in found["interrupting"]["found"]
    assert ("result" in found) is not can_keep
    if can_keep:
        measured = LoopMeasurement.restored(json.loads((state / LOOP_FILE).read_text()))
        assert measured is not None
        assert measured.is_of("virtual_mic", "virtual_speaker")
        assert measured.delay_s == pytest.approx(0.12, abs=0.02)
        assert measured.ppm == pytest.approx(40, abs=15)
        assert measured.erle_db > 12
