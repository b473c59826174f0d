"""The command line: what is wrong is told in one line and by a documented exit code, without a traceback."""

import argparse
import json
import signal
import wave
from pathlib import Path

import numpy as np
import pytest

from appliance.cli import main as cli
from appliance.errors import ExitCode, MicrophoneError, SpeakerError
from appliance.provisioning.server.program import main as provisiond

ROOT = Path(__file__).resolve().parents[2]


def test_the_settings_in_force_are_shown_with_their_origin(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    file = tmp_path / "a.toml"
    file.write_text('[live]\nvoice = "Puck"\n')
    assert cli.run(["config", "--config", str(file), "--json"]) == ExitCode.OK
    shown = json.loads(capsys.readouterr().out)
    assert shown["live.voice"] == {"value": "Puck", "origin": str(file)}
    assert cli.run(["config", "--config", str(file)]) == ExitCode.OK
    assert "Puck" in capsys.readouterr().out


@pytest.mark.parametrize("command", ["run", "config"])
def test_a_bad_setting_is_one_line_and_exit_78(command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    file = tmp_path / "a.toml"
    file.write_text("[conversation]\nprerol_ms = 3\n")
    assert cli.run([command, "--config", str(file)]) == ExitCode.CONFIGURATION
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "did you mean conversation.preroll_ms?" in error


def test_a_default_file_that_may_not_be_looked_at_is_complained_of_and_an_absent_one_is_not(tmp_path: Path):
    chosen = argparse.Namespace(config=None)
    assert cli._files(chosen, tmp_path / "a.toml") == []
    for hidden in (tmp_path / ("a" * 300), _loop(tmp_path / "loop") / "a.toml"):
        assert cli._files(chosen, hidden) == [hidden]


def _loop(path: Path) -> Path:
    path.symlink_to(path)
    return path


@pytest.mark.parametrize(
    "options",
    [
        ["--loud"],
        ["--link-delay", "-1"],
        ["--link-delay", "nan"],
        ["--room"],
        ["--room", "0"],
        ["--room", "3 miles"],
        ["--room", "3", "miles"],
    ],
)
def test_usage_is_exit_2(options: list[str], capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as caught:
        cli.run(["demo", *options])
    assert caught.value.code == ExitCode.USAGE
    assert "Traceback" not in capsys.readouterr().err


def _wav(path: Path, width: int, seconds: float = 0.5) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setparams((1, width, 16_000, 0, "NONE", ""))
        file.writeframes(np.zeros(int(16_000 * seconds) * width, np.int8).tobytes())
    return path


@pytest.mark.parametrize(
    ("make", "code", "says"),
    [
        (lambda folder: folder / "absent.wav", ExitCode.NO_INPUT, "does not exist"),
        (lambda folder: folder, ExitCode.DATA, "not a file"),
        (lambda folder: _empty(folder / "empty.wav"), ExitCode.DATA, "empty"),
        (lambda folder: _text(folder / "song.wav"), ExitCode.DATA, "WAV"),
        (lambda folder: _wav(folder / "none.wav", 2, 0), ExitCode.DATA, "no samples"),
        (lambda folder: _wav(folder / "long.wav", 2, 481), ExitCode.DATA, "trim 0 480"),
    ],
)
def test_a_recording_of_no_use_is_one_line_before_anything_starts(make, code, says, tmp_path, capsys):
    assert cli.run(["demo", "--mic", str(make(tmp_path))]) == code
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert says in error


def _empty(path: Path) -> Path:
    path.write_bytes(b"")
    return path


def _text(path: Path) -> Path:
    path.write_text("This is no sound at all, but words, and quite a few of them, so that it is long enough.")
    return path


@pytest.mark.parametrize(
    ("options", "code", "says"),
    [
        (["--wake", "hey_jarvs"], ExitCode.CONFIGURATION, "did you mean hey_jarvis?"),
        (["--wake", "hey_mycroft"], ExitCode.NO_INPUT, "give one with --mic"),
        (["--live", "google"], ExitCode.CONFIGURATION, "GEMINI_API_KEY"),
        (["--wake", "./no.onnx"], ExitCode.NO_INPUT, "cannot read"),
        (["--mic", "a" * 300], ExitCode.NO_INPUT, "no such file, and the microphone"),
        (["--mic", "no such card"], ExitCode.NO_INPUT, "no such file, and the microphone"),
        (["--speaker", "no such card"], ExitCode.NO_INPUT, "not a .wav file, and the speaker"),
        (["--timeline", "x.jpg"], ExitCode.CANNOT_WRITE, ".png"),
        (["--report", "/proc/nowhere/report.json"], ExitCode.CANNOT_WRITE, "cannot make the directory"),
        (["--speaker", "/proc/nowhere/reply.wav"], ExitCode.CANNOT_WRITE, "cannot make the directory"),
        (["--room", "0.3m", "--speaker", "no such card"], ExitCode.NO_INPUT, "not a .wav file, and the speaker"),
        (["--room", "0.3m", "--mic", "./no.wav"], ExitCode.NO_INPUT, "does not exist"),
        (["--report", ""], ExitCode.CANNOT_WRITE, "not a regular file"),
    ],
)
def test_an_option_of_no_use_is_one_line(options, code, says, capsys):
    assert cli.run(["demo", *options]) == code
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert says in error


def test_the_recording_is_not_written_over(tmp_path, capsys):
    recording = _wav(tmp_path / "mic.wav", 2)
    content = recording.read_bytes()
    assert cli.run(["demo", "--mic", str(recording), "--speaker", str(recording)]) == ExitCode.CANNOT_WRITE
    assert "would overwrite" in capsys.readouterr().err
    assert recording.read_bytes() == content


def test_errors_out_of_a_task_group_are_told_like_others():
    group = BaseExceptionGroup("tasks", [ExceptionGroup("inner", [MicrophoneError("gone")]), SpeakerError("gone too")])
    assert str(cli._known(group)) == "gone"
    assert cli._known(BaseExceptionGroup("tasks", [MicrophoneError("gone"), ValueError("a bug")])) is None


def test_every_exit_code_is_documented():
    text = (ROOT / "docs/installing.md").read_text()
    for code in ExitCode:
        assert f"| {code.value} |" in text


JOIN = f"va1.{'Ab_-' * 30}.x1YzAb_-"


@pytest.mark.parametrize(
    "arguments",
    [
        [JOIN],
        ["enrol", JOIN],
        ["enrol", "--join-file", JOIN],
        ["enrol", "--join", JOIN],
        ["enrol", "--name", f"{JOIN}\n"],
        ["run", "--config", JOIN],
        ["say", "--runtime", JOIN, "x"],
    ],
)
def test_a_join_string_given_as_an_argument_is_never_repeated(arguments, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path))
    with pytest.raises(SystemExit) as caught:
        cli.main(arguments)
    assert caught.value.code not in {0, None}
    shown = capsys.readouterr()
    assert "Ab_-" not in shown.out + shown.err
    assert "appliance" in shown.err


@pytest.mark.parametrize(
    "arguments", [[JOIN], ["admin", JOIN], ["admin", "claims", "revoke", JOIN], ["--config", JOIN]]
)
def test_nor_is_it_by_the_provisioning_server(arguments, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path))
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    code: str | int | None = None
    try:
        code = provisiond(arguments)
    except SystemExit as ended:
        code = ended.code
    finally:
        signal.signal(signal.SIGTERM, before[0])
        signal.signal(signal.SIGINT, before[1])
    assert code
    shown = capsys.readouterr()
    assert "Ab_-" not in shown.out + shown.err
    assert "appliance-provisiond" in shown.err
