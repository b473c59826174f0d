"""The program ``appliance-simulator``."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from appliance.simulator.__main__ import main, options_from, parser
from appliance.simulator.locks import GlobalLock
from appliance.simulator.scenario import load, shipped

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


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--record", "/nowhere/at/all"], 66, "not a directory"),
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


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--port", "70000"], "--port: has to be a whole number, 0 to 65535"),
        (["--port", "x"], "--port: has to be a whole number, 0 to 65535"),
        (["--link-delay", "-1"], "--link-delay: has to be a number, 0 to 3600"),
        (["--time-scale", "0"], "--time-scale: has to be a number, 0.001 to 100"),
        (["--address", "::1"], "--address: has to be an IPv4 address"),
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


def test_whoever_has_seen_enough_of_the_list_disturbs_nobody():
    command = [sys.executable, "-m", "appliance.simulator", "--list-scenarios"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as listing:
        assert listing.stdout is not None
        assert listing.stderr is not None
        listing.stdout.close()
        assert listing.stderr.read() == b""
    assert listing.returncode == 0


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
