"""A refused set-up loses its optional parts one by one, and what worked is remembered."""

import json
from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.live.ports import Tier
from appliance.live.tiers import MODELS_REMEMBERED, REMEMBERED, Lessons, drop_next, restored

TODAY = date(2026, 11, 20)
INVALID = "Request contains an invalid argument."


def test_without_a_reason_the_least_missed_part_goes_first():
    present = list(Tier)
    order = []
    while (tier := drop_next(present, INVALID)) is not None:
        order.append(tier)
        present.remove(tier)
    assert order == list(Tier)


REASONS = [
    ('Unknown name "customVocabulary"', Tier.VOCABULARY),
    ("temperature is out of range", Tier.TEMPERATURE),
    ("enable_affective_dialog is not supported", Tier.AFFECTIVE_DIALOG),
    ("proactivity.proactive_audio must not be set", Tier.PROACTIVE_AUDIO),
    ("Only NON_BLOCKING functions", Tier.TOOL_BEHAVIOR),
    ("start_of_speech_sensitivity is invalid", Tier.DETECTION),
    ("prefixPaddingMs is too large", Tier.DETECTION),
    ("Unsupported language code", Tier.LANGUAGE),
    ("thinking_level is not supported for this model", Tier.THINKING),
    ("Google Search cannot be used", Tier.SEARCH),
    ("target_tokens must be below trigger_tokens", Tier.COMPRESSION_NUMBERS),
    ("outputAudioTranscription is not available", Tier.TRANSCRIPTION),
    ("contextWindowCompression is not available", Tier.COMPRESSION),
]


@pytest.mark.parametrize(("reason", "tier"), REASONS)
def test_a_reason_that_names_a_part_is_believed(reason, tier):
    assert drop_next(list(Tier), reason) is tier
    assert drop_next([other for other in Tier if other is not tier], reason) is not tier


def test_every_part_can_be_named():
    assert {tier for _, tier in REASONS} == set(Tier)


@given(st.sets(st.sampled_from(Tier)), st.text(max_size=30))
def test_only_what_is_there_is_dropped_until_nothing_is_left(present, reason):
    tier = drop_next(present, reason)
    assert (tier is None) == (not present)
    assert tier is None or tier in present


def test_what_worked_is_remembered_for_its_model():
    lessons = Lessons().learnt("a", frozenset({Tier.VOCABULARY}), TODAY)
    assert lessons.dropped("a", TODAY) == {Tier.VOCABULARY}
    assert lessons.dropped("b", TODAY) == frozenset()
    assert lessons.learnt("a", frozenset({Tier.SEARCH}), TODAY).dropped("a", TODAY) == {Tier.SEARCH}


def test_after_a_while_everything_is_tried_again():
    lessons = Lessons().learnt("a", frozenset({Tier.VOCABULARY}), TODAY)
    assert lessons.dropped("a", TODAY + REMEMBERED - timedelta(days=1)) == {Tier.VOCABULARY}
    assert lessons.dropped("a", TODAY + REMEMBERED) == frozenset()


def test_the_memory_is_bounded():
    lessons = Lessons()
    for number in range(MODELS_REMEMBERED + 3):
        lessons = lessons.learnt(f"model-{number}", frozenset({Tier.SEARCH}), TODAY)
    assert len(lessons.known) == MODELS_REMEMBERED
    assert lessons.dropped("model-0", TODAY) == frozenset()
    assert lessons.dropped(f"model-{MODELS_REMEMBERED + 2}", TODAY) == {Tier.SEARCH}


def test_it_survives_a_file():
    lessons = Lessons().learnt("a", frozenset({Tier.VOCABULARY, Tier.SEARCH}), TODAY).learnt("b", frozenset(), TODAY)
    assert restored(json.loads(json.dumps(lessons.stored()))) == lessons


@pytest.mark.parametrize(
    "stored",
    [None, 3, [], {"a": None}, {"a": {"dropped": ["no such"], "learnt": "2026-11-20"}}, {"a": {"learnt": "x"}}],
)
def test_a_file_that_makes_no_sense_is_forgotten(stored):
    assert restored(stored) == Lessons()
