"""Known capabilities of each model."""

import pytest

from appliance.live.model_capabilities import MODELS, UNKNOWN, Feature, capabilities

F = Feature
THINKING, PLAIN = "gemini-3.8-live-extended-thinking", "gemini-3.8-live"
OLD, OLDER = "gemini-3.1-flash-live-preview", "gemini-2.5-flash-native-audio-preview-12-2025"

FEATURES = [
    (F.AFFECTIVE_DIALOG, {OLDER}),
    (F.PROACTIVE_AUDIO, {OLDER}),
    (F.TOOL_SCHEDULING, {PLAIN, OLDER}),
    (F.CONTENT_AT_ANY_TIME, {THINKING, PLAIN, OLDER}),
    (F.INITIAL_HISTORY, {OLD}),
    (F.LANGUAGE_CODE, {THINKING, PLAIN, OLD}),
    (F.VOCABULARY, {THINKING, PLAIN}),
    (F.STATUS, {THINKING}),
]


@pytest.mark.parametrize(("feature", "models"), FEATURES)
def test_each_feature_is_had_by_the_models_that_have_it(feature, models):
    assert {model for model in (THINKING, PLAIN, OLD, OLDER) if capabilities(model).has(feature)} == models


def test_every_feature_and_every_line_of_the_table_is_accounted_for():
    assert {feature for feature, _ in FEATURES} == set(Feature)
    assert {capabilities(model) for model in (THINKING, PLAIN, OLD, OLDER)} == {known for _, known in MODELS}


@pytest.mark.parametrize(
    ("model", "levels", "level", "behavior"),
    [
        (THINKING, ("LOW", "MEDIUM", "HIGH"), "LOW", None),
        (PLAIN, (), None, "BLOCKING"),
        (OLD, ("MINIMAL", "LOW", "MEDIUM", "HIGH"), None, None),
        (OLDER, (), None, None),
        ("gemini-9-live", (), None, None),
    ],
)
def test_thinking_and_tools_are_as_the_model_wants_them(model, levels, level, behavior):
    known = capabilities(f"models/{model}")
    assert (known.thinking_levels, known.thinking_level, known.tool_behavior) == (levels, level, behavior)


def test_a_dated_version_is_the_same_model():
    assert capabilities("gemini-3.8-live-11-2026") is capabilities(PLAIN)


def test_of_an_unknown_model_hardly_anything_is_taken_for_granted():
    assert capabilities("gemini-9-live") is UNKNOWN
