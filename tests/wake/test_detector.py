"""The decision rule, score by score."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.units import SampleIndex
from appliance.wake.detector import REARM, Detector, Rule, rule_for
from appliance.wake.ports import Detection, Score

HOP = 1280
HALF = Rule(threshold=0.5, refractory=10 * HOP)


def decide(rule: Rule, scores: list[float]) -> list[Detection]:
    detector = Detector(rule)
    hops = (Score("word", SampleIndex(HOP * number), score) for number, score in enumerate(scores, start=1))
    return [found for hop in hops if (found := detector.decide(hop)) is not None]


def fired_at(scores: list[float], rule: Rule = HALF) -> list[int]:
    """The numbers of the hops that fired, from 0."""
    return [found.end_sample // HOP - 1 for found in decide(rule, scores)]


@pytest.mark.parametrize(
    ("scores", "hops"),
    [
        ([0.1, 0.6, 0.6, 0.6], [2]),
        ([0.1, 0.6, 0.1, 0.6], [3]),
        ([0.1, 0.6, 0.1, 0.1, 0.6], []),
        ([0.1, 0.1, 0.6, 0.1], []),
        ([0.1, 0.5, 0.5], [2]),
        ([0.49, 0.49, 0.49], []),
        ([0.6], []),
    ],
)
def test_two_of_the_last_three_hops_at_the_threshold_make_a_detection(scores, hops):
    assert fired_at(scores) == hops


@pytest.mark.parametrize(
    ("scores", "hops"),
    [([0.2, 0.9], [1]), ([0.19, 0.9], []), ([0.2, 0.89], []), ([0.3, 0.0, 0.95], []), ([0.95], [])],
)
def test_one_certain_hop_is_enough_after_a_supporting_one(scores, hops):
    assert fired_at(scores) == hops


def test_a_certain_hop_below_the_threshold_does_not_count():
    assert fired_at([0.3, 0.92, 0.92], Rule(0.95, HOP)) == []


def test_a_detection_carries_the_hop_that_decided_it():
    assert decide(HALF, [0.1, 0.6, 0.7]) == [Detection("word", SampleIndex(3 * HOP), 0.7)]


def test_one_long_utterance_is_one_detection_however_long_it_lasts():
    assert fired_at([0.95] * 100) == [1]


def test_the_word_is_heard_again_after_the_refractory_time_and_a_low_score():
    scores = [0.6, 0.6, *[0.1] * 10, 0.6, 0.6]
    assert fired_at(scores) == [1, 13]


def test_a_word_that_begins_within_the_refractory_time_is_not_heard():
    scores = [0.6, 0.6, *[0.1] * 9, 0.6, 0.6, 0.6, 0.6]
    assert fired_at(scores) == [1]


def test_a_score_that_never_falls_low_does_not_rearm():
    scores = [0.6, 0.6, *[0.3] * 20, 0.6, 0.6]
    assert fired_at(scores) == [1]


def test_a_threshold_below_the_rearming_score_still_makes_one_detection_of_one_word():
    assert fired_at([0.15] * 50, Rule(0.1, HOP)) == [1]


def test_hey_jarvis_has_a_higher_threshold_than_the_others():
    assert rule_for("hey_jarvis") == Rule(0.7, 32_000)
    assert {rule_for(word).threshold for word in ("alexa", "hey_mycroft", "hey_rhasspy", "hey_marvin")} == {0.5}


def test_a_threshold_of_the_installer_wins():
    assert rule_for("hey_jarvis", 0.35, 3.0) == Rule(0.35, 48_000)


scores_of_a_minute = st.lists(st.floats(0, 1), max_size=60)


@settings(deadline=None, max_examples=150)
@given(scores_of_a_minute, st.floats(0.3, 0.9), st.integers(0, 20))
def test_detections_are_apart_and_founded(scores, threshold, refractory_hops):
    fired = fired_at(scores, Rule(threshold, refractory_hops * HOP))
    for hop in fired:
        assert scores[hop] >= threshold
        assert max(scores[max(0, hop - 2) : hop]) >= min(threshold, REARM)
    for hop, following in pairwise(fired):
        assert following - hop >= max(refractory_hops, 1)
        assert min(scores[max(hop + 1, hop + refractory_hops) : following]) < REARM


@settings(deadline=None, max_examples=100)
@given(scores_of_a_minute)
def test_the_first_two_neighbouring_hops_at_the_threshold_are_never_missed(scores):
    pairs = [hop for hop in range(1, len(scores)) if min(scores[hop - 1], scores[hop]) >= 0.5]
    if pairs:
        assert fired_at(scores)[0] <= pairs[0]
