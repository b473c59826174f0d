"""The recordings that the project ships."""

import importlib.util
import shutil
import subprocess
import sys
import wave
from pathlib import Path

import numpy as np
import pytest

from appliance.core.events import Fault, Trouble
from appliance.simulator.model.replies import DEFAULT_SCRIPT, Reply, load
from appliance.units import REPLY, SampleIndex
from tests.simulator.conftest import PACKAGE

SHIPPED = sorted(
    path
    for folder in ("simulator/voice", "audio/phrases", "demo/recordings")
    for path in (PACKAGE / folder).glob("*.wav")
)


def read(path: Path) -> np.ndarray:
    with wave.open(str(path)) as file:
        return np.frombuffer(file.readframes(file.getnframes()), dtype="<i2")


def test_they_are_small():
    assert sum(path.stat().st_size for path in SHIPPED) < 3_800_000


def test_every_trouble_has_a_phrase_and_so_has_a_light_that_cannot_show_its_own_fault():
    told = {subject.value for subject in (*Trouble, Fault.LIGHT)}
    assert {path.stem for path in SHIPPED if path.parent.name == "phrases"} == told


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_each_peaks_6_db_below_full_scale(path: Path):
    assert 20 * np.log10(np.abs(read(path).astype(float)).max() / 32768) == pytest.approx(-6, abs=0.2)


@pytest.mark.parametrize(
    "path", [path for path in SHIPPED if path.parent.name == "phrases"], ids=lambda path: path.stem
)
def test_phrases_are_24_khz_mono_and_short(path: Path):
    assert REPLY.duration(len(load(Reply(path)))) < 4


def test_the_first_reply_is_long_enough_to_be_interrupted_and_one_calls_a_tool():
    assert REPLY.duration(len(load(DEFAULT_SCRIPT[0]))) > 8
    assert [reply.tool.name for reply in DEFAULT_SCRIPT if reply.tool] == ["get_time"]


@pytest.mark.skipif(
    importlib.util.find_spec("onnxruntime") is None or importlib.util.find_spec("openwakeword") is None,
    reason="the extra device is not installed",
)
@pytest.mark.parametrize(
    ("word", "shift"),
    [("hey_rhasspy", 0), pytest.param("hey_rhasspy", 640, marks=pytest.mark.slow), ("hey_jarvis", 320), ("alexa", 960)],
)
def test_the_wake_word_of_a_scene_is_detected_once_whatever_the_alignment(word: str, shift: int, scene):
    from appliance.wake.detector import rule_for  # noqa: PLC0415
    from appliance.wake.models import load as load_graphs  # noqa: PLC0415
    from appliance.wake.openwakeword import OpenWakeWordEngine  # noqa: PLC0415

    engine = OpenWakeWordEngine(load_graphs(word), rule_for(word))
    detections, scores = engine.feed(SampleIndex(0), scene(f"scene_{word}")[shift:])
    assert len(detections) == 1
    assert sorted(score.score for score in scores)[-2] > 0.7


def espeak() -> str:
    if shutil.which("espeak-ng") is None:
        return ""
    return subprocess.run(["espeak-ng", "--version"], capture_output=True, text=True, check=True).stdout


@pytest.mark.slow
@pytest.mark.skipif("1.51" not in espeak(), reason="made with espeak-ng 1.51; another version speaks differently")
def test_the_script_makes_them_byte_by_byte(tmp_path: Path):
    script = PACKAGE.parent / "scripts" / "render-recordings"
    subprocess.run(
        [sys.executable, script, tmp_path],
        check=True,
        capture_output=True,
        env={"PATH": "/usr/bin", "PYTHONPATH": str(PACKAGE.parent)},
    )
    assert [
        path for path in SHIPPED if path.read_bytes() != (tmp_path / path.relative_to(PACKAGE.parent)).read_bytes()
    ] == []
