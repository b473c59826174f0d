"""The main job, end to end: real audio, real graphs, the real SDK, real servers in processes of their own."""

import json
import wave
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from appliance.cli import main as cli
from appliance.errors import ExitCode
from appliance.units import Pcm

pytestmark = [pytest.mark.realtime, pytest.mark.timeout(150)]

RATE = 16_000


def scene() -> Pcm:
    """The shipped recording: the wake word and a question in one breath from 1.3 s on, a barge-in from 10 s on."""
    recording = files("appliance.demo") / "recordings" / "scene_hey_rhasspy.wav"
    with recording.open("rb") as file, wave.open(file) as reader:
        return np.frombuffer(reader.readframes(reader.getnframes()), "<i2")


def cut(pcm: Pcm, begin_s: float, end_s: float) -> Pcm:
    return pcm[int(begin_s * RATE) : int(end_s * RATE)]


def write(path: Path, pcm: Pcm) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, RATE, 0, "NONE", ""))
        file.writeframes(pcm.astype("<i2").tobytes())
    return path


def hold(tmp_path: Path, *options: str) -> tuple[int, dict[str, Any]]:
    report = tmp_path / "report.json"
    code = cli.run(["demo", "--report", str(report), "--speaker", str(tmp_path / "reply.wav"), *options])
    return code, json.loads(report.read_text())


def test_nothing_is_lost_though_the_link_takes_three_seconds_to_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("APPLIANCE_CONVERSATION__FOLLOW_UP_S", "1")
    quiet = np.tile(cut(scene(), 5.0, 6.0), 4)
    microphone = write(tmp_path / "mic.wav", np.concatenate([cut(scene(), 1.0, 4.6), quiet, cut(scene(), 10.0, 13.1)]))
    code, report = hold(tmp_path, "--mic", str(microphone), "--link-delay", "3")

    assert code == ExitCode.OK, report["trouble"]
    assert [word["model"] for word in report["wake_detections"]] == ["hey_rhasspy"]
    assert (report["turns"], report["interruptions"]) == (2, 1)
    uplink = report["uplink"]
    assert (uplink["lost"], uplink["duplicated"], uplink["strange"]) == (0, 0, 0)
    assert uplink["samples_received_by_service"] == uplink["samples_captured_since_wake"] > 6 * RATE
    assert report["latency_ms"]["wake_to_link_open"] >= 3000
    states = [state for _, state in report["states"]]
    for state in ("connecting", "listening", "thinking", "speaking", "interrupted", "idle"):
        assert state in states
    entered = {state: at for at, state in reversed(report["states"])}
    with wave.open(str(tmp_path / "reply.wav")) as reader:
        heard = np.flatnonzero(np.frombuffer(reader.readframes(reader.getnframes()), "<i2"))
    # Counted in samples, from one to the next: on a busy machine the file lags behind the clock.
    pause = int(np.diff(heard).argmax())
    assert heard[pause + 1] - heard[pause] > 24_000
    spoken_s = (heard[pause] - heard[0]) / 24_000
    assert spoken_s < entered["interrupted"] - entered["speaking"] + 0.5, (
        "after the flush not one sample of the old reply"
    )


@pytest.mark.parametrize(
    ("mishap", "code", "says"),
    [
        ("refused-token", ExitCode.REFUSED, "does not accept the device"),
        ("dead-server", ExitCode.UNAVAILABLE, "cannot be reached"),
    ],
)
@pytest.mark.slow
def test_no_token_is_a_light_one_line_and_a_documented_exit_code(
    mishap: str,
    code: ExitCode,
    says: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setenv("APPLIANCE_CONVERSATION__CONNECTING_S", "2")
    microphone = write(tmp_path / "mic.wav", cut(scene(), 1.0, 3.0))
    found, report = hold(tmp_path, "--mic", str(microphone), "--mishap", mishap)
    assert found == code == report["exit"]
    assert "trouble" in [state for _, state in report["states"]]
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert says in error


@pytest.mark.slow
def test_a_silent_recording_is_said_to_be_silent(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    microphone = write(tmp_path / "mic.wav", np.zeros(RATE // 2, np.int16))
    code, report = hold(tmp_path, "--mic", str(microphone))
    assert code == ExitCode.NOTHING_HEARD
    assert report["wake_detections"] == []
    assert "is silent" in capsys.readouterr().err
