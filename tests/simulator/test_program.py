"""The program ``appliance-simulator``."""

import json
import signal
import subprocess
import sys
import tempfile
import time
import wave
from pathlib import Path

import numpy as np
import pytest

from appliance.simulator.__main__ import main
from appliance.simulator.contract.locks import GlobalLock
from appliance.simulator.model.replies import Reply
from appliance.simulator.model.replies import load as load_reply
from appliance.simulator.program import options_from, parser
from appliance.simulator.scenario.file import load, shipped
from appliance.units import SampleIndex

pytestmark = pytest.mark.realtime


def test_it_says_where_it_is_and_ends_in_order_when_told_to(tmp_path: Path):
    command = [sys.executable, "-m", "appliance.simulator", "--directory", str(tmp_path), "--record", str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        ready = json.loads(process.stdout.readline())
        asked = time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) == 0
        assert time.monotonic() - asked < 5
        assert process.stdout.read() == ""
    assert ready["base_url"].startswith("https://127.0.0.1:")
    assert Path(ready["ca_file"]) == tmp_path / "ca.pem"


def test_ctrl_c_while_it_starts_ends_it_without_a_word():
    with subprocess.Popen(
        [sys.executable, "-m", "appliance.simulator"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        maps = Path(f"/proc/{process.pid}/maps")
        while process.poll() is None and "numpy" not in maps.read_text():  # a part of what it imports
            time.sleep(0.001)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=30)
    assert said == b""
    assert process.returncode in {130, 0}  # 0: it was quicker than this test


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--record", "/nowhere/at/all"], 66, "not a directory"),
        (["--record", "a" * 300], 66, "not a directory"),
        (["--reply", "/nowhere.wav"], 66, "cannot read /nowhere.wav"),
        (["--reply", __file__], 65, "is not a WAV file"),
        (["--scenario", "go_awya"], 66, "did you mean go_away?"),
        (["--scenario", "/nowhere.toml"], 66, "cannot read /nowhere.toml"),
    ],
)
def test_what_cannot_be_used_is_named_in_one_line(
    arguments: list[str], code: int, words: str, capsys: pytest.CaptureFixture[str]
):
    assert main(arguments) == code
    said = capsys.readouterr().err
    assert words in said
    assert said.count("\n") == 1


def test_an_empty_reply_is_named_with_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "empty.wav").touch()
    assert main(["--reply", str(tmp_path / "empty.wav")]) == 65
    assert capsys.readouterr().err.endswith("empty.wav is not a WAV file: it ends early\n")


def test_of_a_reply_that_was_cut_inside_a_sample_the_whole_ones_are_spoken(tmp_path: Path):
    whole, cut = tmp_path / "whole.wav", tmp_path / "cut.wav"
    with wave.open(str(whole), "wb") as file:
        file.setparams((1, 2, 24_000, 0, "NONE", ""))
        file.writeframes(np.arange(1, 6, dtype="<i2").tobytes())
    cut.write_bytes(whole.read_bytes()[:-1])
    assert load_reply(Reply(cut)).tolist() == [1, 2, 3, 4]


def test_without_room_for_its_certificate_one_line_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "absent"))
    assert main([]) == 73
    assert capsys.readouterr().err.startswith("appliance-simulator: no temporary directory can be made")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--port", "70000"], "--port: has to be a whole number, 0 to 65535"),
        (["--port", "x"], "--port: has to be a whole number, 0 to 65535"),
        (["--link-delay", "-1"], "--link-delay: has to be a number, 0 to 3600"),
        (["--time-scale", "0"], "--time-scale: has to be a number, 0.001 to 100"),
        (["--address", "::1"], "--address: must be an IPv4 address"),
        (["--colour"], "unrecognized arguments: --colour"),
    ],
)
def test_a_wrong_command_line_exits_2(arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert says in capsys.readouterr().err.splitlines()[-1]


def test_the_scenarios_are_listed_with_a_line_each(capsys: pytest.CaptureFixture[str]):
    assert main(["--list-scenarios"]) == 0
    _, *lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(shipped())
    assert any(line.split(maxsplit=1) == ["healthy", "Nothing goes wrong."] for line in map(str.strip, lines))


@pytest.mark.slow
def test_whoever_has_seen_enough_of_the_list_disturbs_nobody():
    command = [sys.executable, "-m", "appliance.simulator", "--list-scenarios"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as listing:
        assert listing.stdout is not None
        assert listing.stderr is not None
        listing.stdout.close()
        assert listing.stderr.read() == b""
    assert listing.returncode == 0


def test_a_service_may_hear_voices():
    assert options_from(parser().parse_args([])).voice_detector is None
    make = options_from(parser().parse_args(["--voices-only"])).voice_detector
    assert make is not None
    assert not make().feed(SampleIndex(0), np.zeros(100, np.int16))


def test_scenarios_and_their_scale_come_from_the_command_line(tmp_path: Path):
    file = tmp_path / "mine.toml"
    file.write_text('description = "Mine."\n')
    arguments = [
        "--scenario",
        "go_away",
        "--scenario",
        str(file),
        "--time-scale",
        "0.5",
        "--global-lock",
        "keeps-handle",
    ]
    options = options_from(parser().parse_args(arguments))
    assert [scenario.description for scenario in options.scenarios] == [load("go_away").description, "Mine."]
    assert options.time_scale == 0.5
    assert options.global_lock is GlobalLock.KEEPS_HANDLE
