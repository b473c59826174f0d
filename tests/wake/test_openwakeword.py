"""The graphs, computed hop by hop."""

import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.errors import LocalModelError
from appliance.onnx.graphs import Graph
from appliance.units import UPLINK, Pcm, SampleIndex
from appliance.wake.detector import THRESHOLDS, rule_for
from appliance.wake.models import Graphs, load
from appliance.wake.openwakeword import HOP, SMALL_GAP, OpenWakeWordEngine
from appliance.wake.ports import Detection, Score
from tests.support import onnx_files
from tests.wake.sounds import end_of_word, feed, noise, recording, silence, spoken

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("onnxruntime") is None or importlib.util.find_spec("openwakeword") is None,
    reason="the extra device is not installed",
)
needs_espeak = pytest.mark.skipif(
    shutil.which("espeak-ng") is None, reason="espeak-ng is not installed: apt-get install espeak-ng"
)

RHASSPY = "hey_rhasspy"
"""Its scores are never quite 0, so that a muted hop can be recognised."""
START_MUTE = 16
GAP_MUTE = 26


graphs_of = cache(load)


def engine_for(word: str) -> OpenWakeWordEngine:
    return OpenWakeWordEngine(graphs_of(word), rule_for(word))


def in_a_quiet_room(sound: Pcm, before: float = 2.0, after: float = 1.0) -> Pcm:
    return np.concatenate((noise(before, seed=1), sound, noise(after, seed=2)))


@cache
def some_speech() -> Pcm:
    """Three seconds of syllables of a kind: enough for the scores to move."""
    time = np.arange(48_000) / 16_000
    voice = np.sign(np.sin(2 * np.pi * 140 * time)) * np.sin(2 * np.pi * (500 + 300 * np.sin(7 * time)) * time)
    return np.asarray(6_000 * voice * np.sin(2 * np.pi * 2.5 * time) ** 2, np.int16) + noise(3.0)


@cache
def scores_of_some_speech() -> list[Score]:
    return engine_for(RHASSPY).feed(SampleIndex(1_000), some_speech())[1]


def test_every_whole_hop_has_a_score_that_ends_with_it():
    scores = scores_of_some_speech()
    assert [score.end_sample for score in scores] == [1_000 + HOP * hop for hop in range(1, 48_000 // HOP + 1)]
    assert {score.model for score in scores} == {RHASSPY}
    assert max(score.score for score in scores) > 2 * min(score.score for score in scores[START_MUTE:])


@settings(deadline=None, max_examples=5)
@given(st.lists(st.integers(1, 5_000), min_size=5, max_size=60))
def test_the_lengths_of_the_blocks_make_no_difference(periods):
    _, scores = feed(engine_for(RHASSPY), some_speech(), start=1_000, periods=periods)
    assert [score.end_sample for score in scores] == [score.end_sample for score in scores_of_some_speech()]
    np.testing.assert_allclose(
        [score.score for score in scores], [score.score for score in scores_of_some_speech()], atol=1e-4
    )


def test_the_first_hops_are_muted():
    scores = [score.score for score in feed(engine_for(RHASSPY), noise(2.0))[1]]
    assert scores[:START_MUTE] == [0.0] * START_MUTE
    assert min(scores[START_MUTE:]) > 0


def test_a_large_gap_mutes_as_long_as_the_graphs_remember_what_was_before():
    engine = engine_for(RHASSPY)
    feed(engine, noise(2.0))
    _, scores = feed(engine, noise(3.0), start=32_000 + SMALL_GAP + 1)
    assert [score.score for score in scores[:GAP_MUTE]] == [0.0] * GAP_MUTE
    assert min(score.score for score in scores[GAP_MUTE:]) > 0


def test_a_small_gap_mutes_nothing_and_hops_begin_anew_after_it():
    engine = engine_for(RHASSPY)
    feed(engine, noise(2.0)[:-1_000])
    _, scores = feed(engine, noise(1.0), start=31_000 + SMALL_GAP)
    assert scores[0].end_sample == 31_000 + SMALL_GAP + HOP
    assert min(score.score for score in scores) > 0


@pytest.mark.parametrize(
    "word", [RHASSPY, *(pytest.param(word, marks=pytest.mark.slow) for word in THRESHOLDS if word != RHASSPY)]
)
def test_a_start_is_no_wake_word(word):
    for quiet in (silence(2.5), noise(2.5, deviation=30)):
        detections, scores = feed(engine_for(word), quiet)
        assert detections == []
        assert max(score.score for score in scores) < 0.25


@pytest.mark.slow
@pytest.mark.parametrize("word", THRESHOLDS)
def test_forty_starts_are_no_wake_word(word):
    for seed in range(40):
        detections, scores = feed(engine_for(word), noise(4.0, seed, deviation=0.5 * seed))
        assert detections == []
        assert max(score.score for score in scores) < 0.3, f"noise {seed}"


@needs_espeak
@pytest.mark.parametrize(("word", "said"), [("hey_jarvis", "hey jarvis"), ("hey_rhasspy", "hey rhasspy")])
def test_a_spoken_wake_word_is_heard_once_near_its_end(word, said):
    sound = spoken(said)
    detections, _ = feed(engine_for(word), in_a_quiet_room(sound))
    assert [detection.model for detection in detections] == [word]
    late = detections[0].end_sample - 32_000 - end_of_word(sound)
    assert -0.3 < late / 16_000 < 0.6


@needs_espeak
def test_other_words_are_not_heard():
    sound = spoken("hey roger, please tell me what the weather is like today")
    detections, scores = feed(engine_for(RHASSPY), in_a_quiet_room(sound))
    assert detections == []
    assert max(score.score for score in scores) < 0.2


@needs_espeak
def test_a_word_said_twice_is_heard_twice():
    sound = in_a_quiet_room(spoken("hey jarvis"), before=1.5, after=1.5)
    detections, _ = feed(engine_for("hey_jarvis"), np.concatenate((sound, sound)))
    assert len(detections) == 2


def test_nothing_but_the_calling_thread_computes():
    engine_for(RHASSPY)  # the runtime has a thread or two of its own from its import on
    before = len(os.listdir("/proc/self/task"))  # noqa: PTH208
    feed(engine_for(RHASSPY), noise(0.5))
    assert len(os.listdir("/proc/self/task")) == before  # noqa: PTH208


def test_the_runtime_is_imported_when_it_is_needed_and_then_reports_to_nobody(tmp_path):
    code = f"""
import sys
from appliance.wake import detector, models, openwakeword
assert 'onnxruntime' not in sys.modules
openwakeword.OpenWakeWordEngine(models.load({RHASSPY!r}), detector.rule_for({RHASSPY!r}))
assert 'onnxruntime' in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True, env={"HOME": str(tmp_path)})
    assert list(tmp_path.rglob("*")) == [], "a device id or a database of what was computed"


def test_the_package_and_what_it_would_import_stay_out():
    engine_for(RHASSPY)
    assert not {"openwakeword", "sklearn", "scipy"} & set(sys.modules)


def test_a_file_that_is_no_graph_is_refused():
    good = load(RHASSPY)
    with pytest.raises(LocalModelError, match=r"^the graph hey_rhasspy cannot be used: "):
        OpenWakeWordEngine(Graphs(RHASSPY, good.melspectrogram, good.embedding, Graph(b"no graph")), rule_for(RHASSPY))


def test_a_graph_that_is_no_classifier_is_refused():
    good = load(RHASSPY)
    with pytest.raises(LocalModelError, match=r"no classifier of one wake word$"):
        OpenWakeWordEngine(Graphs("odd", good.melspectrogram, good.embedding, good.embedding), rule_for("odd"))


def heard_in(word: str, files: list[Path], before: float = 1.0) -> Iterator[list[Detection]]:
    """Detections in each recording, one after the other in one stream, with a quiet room between them."""
    engine = engine_for(word)
    at = 0
    for file in files:
        sound = in_a_quiet_room(recording(file), before)
        yield feed(engine, sound, start=at)[0]
        at += len(sound)


def a_reply_with(word: Pcm, after: float) -> Pcm:
    """The last 2.5 s that were played, when a word ended ``after`` seconds ago; digital silence around it."""
    played = np.concatenate((silence(2.5), word, silence(after)))
    return played[-UPLINK.frames(2.5) :]


@needs_espeak
@pytest.mark.parametrize("after", [0.1, pytest.param(0.35, marks=pytest.mark.slow), 0.8])
def test_a_word_is_found_in_what_the_appliance_has_said_up_to_a_second_ago(after):
    engine = engine_for(RHASSPY)
    assert engine.contains(a_reply_with(spoken("hey rhasspy", "en-gb"), after))
    assert not engine.contains(a_reply_with(spoken("the moon is far away", "en-gb"), after))
    assert not engine.contains(silence(2.5))
    assert not engine.contains(silence(0.01))


def test_a_search_does_not_disturb_the_stream():
    engine, sound = engine_for(RHASSPY), some_speech()
    scores: list[Score] = []
    for at in range(0, len(sound), 12_000):
        scores += engine.feed(SampleIndex(1_000 + at), sound[at : at + 12_000])[1]
        engine.contains(sound)
    assert scores == scores_of_some_speech()


@pytest.mark.recordings
@pytest.mark.slow
@pytest.mark.parametrize("after", [0.1, 0.8])
def test_words_of_people_are_found_in_a_reply_and_none_in_ordinary_speech(recordings, after):
    engine = engine_for("alexa")
    words = [recording(file) for file in sorted((recordings / "wake" / "alexa").glob("*.wav"))[::12]]
    words = [word for word in words if feed(engine_for("alexa"), in_a_quiet_room(word))[0]]
    assert words
    assert [engine.contains(a_reply_with(word[: end_of_word(word)], after)) for word in words] == [True] * len(words)
    files = sorted((recordings / "ordinary").glob("common_voice_*.wav"))[::4]
    assert not any(engine.contains(a_reply_with(recording(file), after)) for file in files)


@pytest.mark.recordings
def test_a_clean_recording_is_heard_at_its_end(recordings):
    path = recordings / "speech" / "alexa_test.wav"
    [[detection]] = heard_in("alexa", [path])
    late = detection.end_sample - 16_000 - end_of_word(recording(path))
    assert -0.1 < late / 16_000 < 0.2


@pytest.mark.recordings
@pytest.mark.slow
def test_people_saying_the_word_are_heard(recordings):
    files = sorted((recordings / "wake" / "alexa").glob("*.wav"))[::12]
    heard = [len(found) for found in heard_in("alexa", files)]
    assert sum(map(bool, heard)) >= 0.9 * len(files)
    assert max(heard) == 1


@pytest.mark.recordings
@pytest.mark.slow
def test_ordinary_speech_is_not_the_word(recordings):
    files = sorted((recordings / "ordinary").glob("common_voice_*.wav"))[::8]
    assert list(heard_in("alexa", files)) == [[] for _ in files]


@pytest.mark.slow
@pytest.mark.recordings
def test_nineteen_of_twenty_people_are_heard(recordings):
    files = sorted((recordings / "wake" / "alexa").glob("*.wav"))
    heard = [len(found) for found in heard_in("alexa", files, before=2.0)]
    assert sum(map(bool, heard)) >= 0.95 * len(files)
    assert max(heard) == 1


@pytest.mark.slow
@pytest.mark.recordings
@pytest.mark.parametrize("word", THRESHOLDS)
def test_seven_minutes_of_ordinary_sound_hold_at_most_one_false_detection(recordings, word):
    heard = [found for found in heard_in(word, sorted((recordings / "ordinary").glob("*.wav"))) if found]
    assert len(heard) <= 1


@pytest.mark.slow
@pytest.mark.recordings
def test_another_word_in_many_voices_is_not_alexa(recordings):
    assert not any(heard_in("alexa", sorted((recordings / "wake" / "plain_jarvis").glob("*.wav"))))


def test_a_graph_with_its_weights_beside_it_scores_as_if_they_were_inside(tmp_path: Path):
    scores = []
    for name, weights_in in (("inside", None), ("beside", "as_exported.onnx.data")):
        path = onnx_files.save(tmp_path, name, weights_in)
        files = [path] if weights_in is None else [path, tmp_path / weights_in]
        digests = "".join(f"{onnx_files.digest(file)}  {file.name}\n" for file in files)
        path.with_name(f"{path.name}.sha256").write_text(digests)
        scores.append(OpenWakeWordEngine(load(str(path)), rule_for(name)).feed(SampleIndex(0), silence(1.0))[1])
    assert [score.score for score in scores[0]] == [score.score for score in scores[1]]
    assert scores[0][-1].score == pytest.approx(0.5)
