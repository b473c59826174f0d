"""A refused set-up loses its optional parts one by one, and what worked is remembered."""

import json
from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.live.connecting.setup_fallback import (
    MODELS_REMEMBERED,
    REMEMBERED,
    ModelLimitations,
    next_to_omit,
    restored,
)
from appliance.live.ports import OptionalFeature

TODAY = date(2026, 11, 20)
INVALID = "Request contains an invalid argument."


def test_without_a_reason_the_least_missed_part_goes_first():
    present = list(OptionalFeature)
    order = []
    while (feature := next_to_omit(present, INVALID)) is not None:
        order.append(feature)
        present.remove(feature)
    assert order == list(OptionalFeature)


REASONS = [
    ('Unknown name "customVocabulary"', OptionalFeature.VOCABULARY),
    ("temperature is out of range", OptionalFeature.TEMPERATURE),
    ("enable_affective_dialog is not supported", OptionalFeature.AFFECTIVE_DIALOG),
    ("proactivity.proactive_audio must not be set", OptionalFeature.PROACTIVE_AUDIO),
    ("Only NON_BLOCKING functions", OptionalFeature.TOOL_BEHAVIOR),
    ("start_of_speech_sensitivity is invalid", OptionalFeature.DETECTION),
    ("prefixPaddingMs is too large", OptionalFeature.DETECTION),
    ("Unsupported language code", OptionalFeature.LANGUAGE),
    ("thinking_level is not supported for this model", OptionalFeature.THINKING),
    ("Google Search cannot be used", OptionalFeature.SEARCH),
    ("target_tokens must be below trigger_tokens", OptionalFeature.COMPRESSION_NUMBERS),
    ("outputAudioTranscription is not available", OptionalFeature.TRANSCRIPTION),
    ("contextWindowCompression is not available", OptionalFeature.COMPRESSION),
]


@pytest.mark.parametrize(("reason", "feature"), REASONS)
def test_a_reason_that_names_a_part_is_believed(reason, feature):
    assert next_to_omit(list(OptionalFeature), reason) is feature
    assert next_to_omit([other for other in OptionalFeature if other is not feature], reason) is not feature


def test_every_part_can_be_named():
    assert {feature for _, feature in REASONS} == set(OptionalFeature)


@given(st.sets(st.sampled_from(OptionalFeature)), st.text(max_size=30))
def test_only_what_is_there_is_dropped_until_nothing_is_left(present, reason):
    feature = next_to_omit(present, reason)
    assert (feature is None) == (not present)
    assert feature is None or feature in present


def test_what_worked_is_remembered_for_its_model():
    limitations = ModelLimitations().adding("a", frozenset({OptionalFeature.VOCABULARY}), TODAY)
    assert limitations.omitted("a", TODAY) == {OptionalFeature.VOCABULARY}
    assert limitations.omitted("b", TODAY) == frozenset()
    assert limitations.adding("a", frozenset({OptionalFeature.SEARCH}), TODAY).omitted("a", TODAY) == {
        OptionalFeature.SEARCH
    }


def test_after_a_while_everything_is_tried_again():
    limitations = ModelLimitations().adding("a", frozenset({OptionalFeature.VOCABULARY}), TODAY)
    assert limitations.omitted("a", TODAY + REMEMBERED - timedelta(days=1)) == {OptionalFeature.VOCABULARY}
    assert limitations.omitted("a", TODAY + REMEMBERED) == frozenset()


def test_the_memory_is_bounded():
    limitations = ModelLimitations()
    for number in range(MODELS_REMEMBERED + 3):
        limitations = limitations.adding(f"model-{number}", frozenset({OptionalFeature.SEARCH}), TODAY)
    assert len(limitations.known) == MODELS_REMEMBERED
    assert limitations.omitted("model-0", TODAY) == frozenset()
    assert limitations.omitted(f"model-{MODELS_REMEMBERED + 2}", TODAY) == {OptionalFeature.SEARCH}


def test_it_survives_a_file():
    limitations = (
        ModelLimitations()
        .adding("a", frozenset({OptionalFeature.VOCABULARY, OptionalFeature.SEARCH}), TODAY)
        .adding("b", frozenset(), TODAY)
    )
    assert restored(json.loads(json.dumps(limitations.stored()))) == limitations


@pytest.mark.parametrize(
    "stored",
    [None, 3, [], {"a": None}, {"a": {"dropped": ["no such"], "learnt": "2026-11-20"}}, {"a": {"learnt": "x"}}],
)
def test_a_file_that_makes_no_sense_is_forgotten(stored):
    assert restored(stored) == ModelLimitations()
