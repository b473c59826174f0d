"""The Silero detector: real speech and what is none, gaps, versions of the graph."""

import wave
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from appliance.errors import LocalModelError
from appliance.onnx.graphs import Graph
from appliance.units import UPLINK, Pcm, SampleIndex
from appliance.voice.models import load
from appliance.voice.ports import WINDOW, VoiceDetector
from appliance.voice.silero import SileroVoiceDetector
from appliance.wake.models import load as load_word
from tests.support import onnx_files

DEMO = Path(__file__).parents[2] / "appliance" / "demo" / "recordings" / "scene_alexa.wav"

pytestmark = pytest.mark.skipif(
    find_spec("onnxruntime") is None or find_spec("openwakeword") is None, reason="the extra device is not installed"
)


def recording(path: Path) -> Pcm:
    with wave.open(str(path)) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (16_000, 1, 2)
        return np.frombuffer(file.readframes(file.getnframes()), np.int16)


def probabilities(samples: Pcm, detector: VoiceDetector | None = None, start: int = 0) -> np.ndarray:
    found = (detector or SileroVoiceDetector(load())).feed(SampleIndex(start), samples)
    return np.array([window.probability for window in found])


def share(samples: Pcm) -> float:
    """The part of the windows in which speech is more likely than not."""
    return float(np.mean(probabilities(samples) >= 0.5))


def test_synthetic_speech_is_speech():
    assert 0.2 < share(recording(DEMO)) < 0.9


def test_noise_tones_and_silence_are_none():
    count = UPLINK.frames(3.0)
    noise = np.random.default_rng(0).normal(0, 3000, count).astype(np.int16)
    tone = (8000 * np.sin(np.arange(count) * 2 * np.pi * 440 / UPLINK.rate_hz)).astype(np.int16)
    assert [share(sound) for sound in (noise, tone, np.zeros(count, np.int16))] == [0, 0, 0]


@pytest.mark.recordings
def test_real_speech_is_speech_and_dishes_are_not(recordings: Path):
    sentences = [recording(path) for path in sorted((recordings / "ordinary").glob("common_voice_*.wav"))[::6]]
    assert 0.5 < share(recording(recordings / "speech" / "jfk.wav")) < 0.9
    assert float(np.median([share(sentence) for sentence in sentences])) > 0.4
    assert share(recording(recordings / "ordinary" / "dishes.wav")[: UPLINK.frames(20.0)]) < 0.02


@pytest.mark.recordings
def test_a_word_is_heard_at_once_though_the_detector_has_just_begun(recordings: Path):
    word = recording(recordings / "speech" / "alexa_test.wav")
    assert np.flatnonzero(probabilities(word) >= 0.5)[0] * WINDOW < UPLINK.frames(0.2)


def test_the_lengths_of_the_blocks_make_no_difference():
    samples = recording(DEMO)[: UPLINK.frames(3.0)]
    detector = SileroVoiceDetector(load())
    found = [
        window
        for at in range(0, len(samples), 320)
        for window in detector.feed(SampleIndex(at), samples[at : at + 320])
    ]
    assert found == SileroVoiceDetector(load()).feed(SampleIndex(0), samples)
    assert found[-1].end_sample == len(samples) // WINDOW * WINDOW


def test_after_a_gap_nothing_is_left_of_what_was_heard_before():
    samples = recording(DEMO)[: UPLINK.frames(3.0)]
    detector = SileroVoiceDetector(load())
    probabilities(samples, detector)
    again = probabilities(samples, detector, start=len(samples) + 1)
    assert np.array_equal(again, probabilities(samples))


def own_graph(folder: Path, content: bytes | None = None, looks_at: int = 64) -> Path:
    path = onnx_files.save_voice(folder, window=WINDOW, context=64, looks_at=looks_at)
    if content is not None:
        path.write_bytes(content)
    path.with_name(f"{path.name}.sha256").write_text(f"{onnx_files.digest(path)}  {path.name}\n")
    return path


@pytest.mark.parametrize(("looks_at", "sees"), [(0, 448), (63, 511), (64, 512), (575, 1023)])
def test_a_newer_version_of_the_users_own_gets_the_samples_before_a_window(tmp_path: Path, looks_at: int, sees: int):
    own_graph(tmp_path, looks_at=looks_at)
    samples = np.random.default_rng(0).integers(-(1 << 15), 1 << 15, 2 * WINDOW, np.int16)
    found = probabilities(samples, SileroVoiceDetector(load(tmp_path)))
    assert found[1] == pytest.approx(1 / (1 + np.exp(-samples[sees] / 32768)), abs=1e-6)


def test_a_graph_of_the_users_own_is_verified(tmp_path: Path):
    path = own_graph(tmp_path)
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(LocalModelError, match=r"silero_vad\.onnx is altered"):
        load(tmp_path)


@pytest.mark.parametrize("save", [lambda _: Graph(b"no graph"), lambda folder: other_graph(folder)])  # noqa: PLW0108
def test_what_is_no_voice_detector_is_refused(tmp_path: Path, save: Callable[[Path], Graph]):
    with pytest.raises(LocalModelError, match="silero_vad"):
        SileroVoiceDetector(save(tmp_path))


def other_graph(folder: Path) -> Graph:
    return Graph(onnx_files.save(folder, "word").read_bytes())


def test_a_folder_of_models_that_cannot_be_read_is_one_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    def refuse(path: Path) -> bool:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "is_file", refuse)
    with pytest.raises(LocalModelError, match=r"cannot read .*silero_vad\.onnx: Permission denied"):
        load(tmp_path)
    with pytest.raises(LocalModelError, match=r"cannot read .*alexa_v0\.1\.onnx: Permission denied"):
        load_word("alexa", tmp_path)
