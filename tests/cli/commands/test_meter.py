"""`appliance meter`: lines where nobody sits before a terminal, a bar where somebody does."""

import os
import wave
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np
import pytest

from appliance.audio.capture.level_meter import LevelMeter
from appliance.cli.commands.meter import WIDTH, bar, meter_command
from appliance.config.devices import AlsaMicrophoneSettings, WavMicrophoneSettings
from appliance.config.schema import Settings
from appliance.errors import ExitCode, InputError, MicrophoneError
from appliance.virtual_card.card import RING, Fault
from tests.support.virtual_card import PlugIn

VIRTUAL = Settings(microphone=AlsaMicrophoneSettings(device="virtual_mic"))


@pytest.mark.realtime
def test_what_the_microphone_hears_is_a_line_a_second_and_a_summary(plug_in: PlugIn, capsys):
    loud = np.random.default_rng(1).normal(0, 1_000, RING).astype(np.int16)
    plug_in().microphone.fill(loud)
    assert meter_command(VIRTUAL, 2.5) == ExitCode.OK
    *lines, last = capsys.readouterr().out.splitlines()
    assert 1 <= len(lines) <= 3
    assert "rms  -30." in lines[-1]
    assert "loudest" in last
    assert "0 samples clipped" in last


@pytest.mark.realtime
def test_a_microphone_that_is_not_there_is_one_error(plug_in: PlugIn):
    plug_in().microphone.fail(Fault.ABSENT)
    with pytest.raises(ExceptionGroup) as caught:
        meter_command(VIRTUAL, 5)
    assert caught.group_contains(MicrophoneError, match="virtual_mic is missing")


@pytest.fixture
def recorded(tmp_path: Path) -> Settings:
    """Return settings whose microphone is a minute of silence."""
    path = tmp_path / "mic.wav"
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 16_000, 0, "NONE", ""))
        file.writeframes(bytes(2 * 16_000 * 60))
    return Settings(microphone=WavMicrophoneSettings(kind="wav", path=path))


@pytest.mark.realtime
def test_a_full_disk_ends_it_as_one_error(recorded: Settings):
    with (
        Path("/dev/full").open("w", encoding="utf-8") as full,
        redirect_stdout(full),
        pytest.raises(ExceptionGroup) as caught,
    ):
        meter_command(recorded, None)
    assert caught.group_contains(InputError, match="No space left on device")


@pytest.mark.realtime
def test_it_ends_when_its_reader_has_seen_enough(recorded: Settings):
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as pipe, redirect_stdout(pipe):
        assert meter_command(recorded, None) == ExitCode.OK


def test_the_bar_grows_with_the_level():
    quiet, loud = LevelMeter(), LevelMeter()
    quiet.feed(np.random.default_rng(1).normal(0, 50, 16_000).astype(np.int16))
    loud.feed(np.random.default_rng(1).normal(0, 5_000, 16_000).astype(np.int16))
    lengths = [bar(meter.reading).plain[:WIDTH].count("█") for meter in (quiet, loud)]
    assert 0 < lengths[0] < lengths[1] < WIDTH
