"""The engine that detects words where the test says."""

from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.units import SampleIndex
from appliance.wake.ports import Detection
from appliance.wake.scripted import ScriptedEngine
from tests.wake.sounds import feed, silence


def test_words_end_where_the_script_says():
    detections, scores = feed(ScriptedEngine([20_000, 5_000], model="hey_you"), silence(2.0))
    assert detections == [Detection("hey_you", SampleIndex(at), 1.0) for at in (5_000, 20_000)]
    assert [score.end_sample for score in scores] == list(range(1280, 32_001, 1280))
    assert [score.end_sample for score in scores if score.score] == [5_120, 20_480]


@settings(deadline=None, max_examples=50)
@given(st.sets(st.integers(1, 16_000), max_size=5), st.lists(st.integers(1, 3_000), max_size=20))
def test_the_lengths_of_the_blocks_make_no_difference(words, periods):
    at_once = ScriptedEngine(words).feed(SampleIndex(0), silence(1.0))
    assert feed(ScriptedEngine(words), silence(1.0), periods=periods) == at_once


def test_a_word_whose_last_sample_was_lost_is_not_heard():
    engine = ScriptedEngine([1_000, 2_000, 3_000])
    assert [found.end_sample for found in feed(engine, silence(0.1))[0]] == [1_000]
    assert [found.end_sample for found in feed(engine, silence(0.1), start=2_000)[0]] == [3_000]
