"""A set-up holds what was wished for, as far as the model has it and has not refused it."""

from typing import Any

import pytest
from google.genai import types
from hypothesis import given
from hypothesis import strategies as st

from appliance.config.schema import LiveSettings
from appliance.core.state import Mode
from appliance.live.gemini.setup import config_hash, live_config, optional_features
from appliance.live.ports import Locks, OptionalFeature, Request, ToolBehavior, ToolDeclaration

CLOCK = ToolDeclaration("get_time", "The time.", {"type": "object", "properties": {}})
PLAIN, THINKING = "gemini-3.8-live", "gemini-3.8-live-extended-thinking"
OLD, OLDER = "gemini-3.1-flash-live-preview", "gemini-2.5-flash-native-audio-preview-12-2025"

EVERYTHING: dict[str, Any] = {
    "start_sensitivity": "low",
    "end_sensitivity": "high",
    "silence_ms": 700,
    "padding_ms": 30,
    "vocabulary": ("Rhasspy",),
    "temperature": 0.5,
    "thinking_level": "medium",
    "may_stay_silent": True,
    "affective_dialog": True,
    "google_search": True,
    "compress_at_tokens": 20_000,
    "compress_to_tokens": 8_000,
    "seeded": True,
}


def asked(model: str = PLAIN, mode: Mode = Mode.HANDS_FREE, **wishes: Any) -> types.LiveConnectConfig:
    request = Request(mode, seeded=wishes.pop("seeded", False), omitted_features=wishes.pop("omitted", frozenset()))
    return live_config(LiveSettings(**wishes), model, request, (CLOCK,))


HANDS_FREE = Request(Mode.HANDS_FREE)


def said(config: types.LiveConnectConfig) -> dict[str, Any]:
    return config.model_dump(exclude_none=True)


def detection(**how: Any) -> dict[str, Any]:
    found = said(asked(**how))["realtime_input_config"]["automatic_activity_detection"]
    assert isinstance(found, dict)
    return found


def test_the_button_switches_the_services_own_detection_off():
    assert detection(mode=Mode.PUSH_TO_TALK, **EVERYTHING) == {"disabled": True}
    assert detection() == {"disabled": False}


def test_detection_is_tuned_as_wished():
    assert detection(**EVERYTHING) == {
        "disabled": False,
        "start_of_speech_sensitivity": types.StartSensitivity.START_SENSITIVITY_LOW,
        "end_of_speech_sensitivity": types.EndSensitivity.END_SENSITIVITY_HIGH,
        "silence_duration_ms": 700,
        "prefix_padding_ms": 30,
    }


def test_left_to_itself_the_model_is_told_in_few_words_to_be_brief_and_to_keep_to_the_language():
    instruction = said(asked())["system_instruction"]
    assert "briefly" in instruction
    assert "language" in instruction
    assert len(instruction) < 200


def test_without_transcripts_none_are_asked_for():
    config = live_config(LiveSettings(transcripts=False, vocabulary=("x",)), PLAIN, HANDS_FREE, ())
    assert config.input_audio_transcription is None
    assert config.output_audio_transcription is None


@pytest.mark.parametrize(
    ("model", "wish", "level"),
    [
        (PLAIN, None, None),
        (PLAIN, "low", None),
        (THINKING, None, "LOW"),
        (THINKING, "high", "HIGH"),
        (THINKING, "minimal", "LOW"),
        (OLD, None, None),
        (OLD, "minimal", "MINIMAL"),
        (OLDER, "low", None),
        ("gemini-9-live", "low", None),
    ],
)
def test_thinking_is_mentioned_only_as_the_model_has_it(model, wish, level):
    config = asked(model, thinking_level=wish).thinking_config
    assert (config and config.thinking_level) == level


@pytest.mark.parametrize(("model", "behavior"), [(PLAIN, "BLOCKING"), (THINKING, None), (OLD, None), (OLDER, None)])
def test_tools_block_only_where_that_can_be_said(model, behavior):
    (tool,) = said(asked(model))["tools"]
    assert tool["function_declarations"][0].get("behavior") == behavior


@pytest.mark.parametrize(
    ("model", "behavior"), [(PLAIN, "NON_BLOCKING"), (OLDER, "NON_BLOCKING"), (THINKING, None), (OLD, None)]
)
def test_a_slow_tool_does_not_hold_the_model_up_where_that_can_be_said(model, behavior):
    slow = ToolDeclaration("fetch", "Fetches.", {}, ToolBehavior.NON_BLOCKING)
    (tool,) = said(live_config(LiveSettings(), model, HANDS_FREE, (slow,)))["tools"]
    assert tool["function_declarations"][0].get("behavior") == behavior


def test_no_tools_means_no_word_about_tools():
    assert live_config(LiveSettings(), PLAIN, HANDS_FREE, ()).tools is None


def test_search_is_a_tool_of_its_own():
    config = live_config(LiveSettings(google_search=True), PLAIN, HANDS_FREE, ())
    assert said(config)["tools"] == [{"google_search": {}}]
    assert len(said(asked(google_search=True))["tools"]) == 2


@pytest.mark.parametrize(
    ("allowed", "offered"),
    [(None, True), (set(), False), ({"get_time"}, False), ({"google_search"}, True)],
)
def test_the_search_is_one_of_the_tools_that_a_token_allows(allowed, offered):
    locks = Locks(tools=None if allowed is None else frozenset(allowed))
    config = live_config(LiveSettings(google_search=True), PLAIN, HANDS_FREE, (), locks)
    assert (config.tools is not None) is offered


@pytest.mark.parametrize(
    ("field", "model"),
    [("enable_affective_dialog", OLDER), ("proactivity", OLDER), ("history_config", OLD)],
)
def test_what_only_some_models_know_is_said_only_to_them(field, model):
    assert field in said(asked(model, **EVERYTHING))
    for other in {PLAIN, THINKING, OLD, OLDER, "gemini-9-live"} - {model}:
        assert field not in said(asked(other, **EVERYTHING))


def test_compression_has_the_numbers_that_were_chosen():
    assert said(asked(**EVERYTHING))["context_window_compression"] == {
        "trigger_tokens": 20_000,
        "sliding_window": {"target_tokens": 8_000},
    }
    assert said(asked(omitted=frozenset({OptionalFeature.COMPRESSION_NUMBERS})))["context_window_compression"] == {
        "sliding_window": {}
    }


def test_vocabulary_and_temperature_arrive():
    config = said(asked(**EVERYTHING))
    assert config["input_audio_transcription"] == {"custom_vocabulary": ["Rhasspy"]}
    assert config["temperature"] == 0.5


WHERE = {
    OptionalFeature.AFFECTIVE_DIALOG: OLDER,
    OptionalFeature.PROACTIVE_AUDIO: OLDER,
    OptionalFeature.THINKING: THINKING,
}


@pytest.mark.parametrize("tier", OptionalFeature)
def test_each_part_is_found_in_a_set_up_and_can_be_left_out_of_it(tier):
    model = WHERE.get(tier, PLAIN)
    with_it = optional_features(asked(model, **EVERYTHING))
    without_it = optional_features(asked(model, **EVERYTHING, omitted=frozenset({tier})))
    assert tier in with_it
    implied = {
        OptionalFeature.TRANSCRIPTION: {OptionalFeature.VOCABULARY},
        OptionalFeature.COMPRESSION: {OptionalFeature.COMPRESSION_NUMBERS},
    }.get(tier, set())
    assert with_it - without_it == {tier} | (implied & with_it)


@given(st.sets(st.sampled_from(OptionalFeature)), st.sampled_from([PLAIN, THINKING, OLD, OLDER, "gemini-9-live"]))
def test_nothing_that_was_left_out_is_left_in(without, model):
    assert not optional_features(asked(model, **EVERYTHING, omitted=frozenset(without))) & without


def test_what_everybody_gets_can_be_refused_too():
    assert optional_features(asked()) == {
        OptionalFeature.LANGUAGE,
        OptionalFeature.TOOL_BEHAVIOR,
        OptionalFeature.TRANSCRIPTION,
        OptionalFeature.COMPRESSION,
        OptionalFeature.COMPRESSION_NUMBERS,
    }


def test_a_session_belongs_to_its_model_instruction_and_tools():
    original = config_hash(LiveSettings(), PLAIN, (CLOCK,))
    assert original == config_hash(LiveSettings(voice="Puck"), f"models/{PLAIN}", (CLOCK,))
    others = {
        config_hash(LiveSettings(), OLD, (CLOCK,)),
        config_hash(LiveSettings(instruction="Be rude."), PLAIN, (CLOCK,)),
        config_hash(LiveSettings(), PLAIN, ()),
        original,
    }
    assert len(others) == 4


# What the token fixes


@pytest.mark.parametrize(
    ("locks", "voice", "language"),
    [
        (Locks(), "Puck", "de-DE"),
        (Locks(voice="Kore"), None, "de-DE"),
        (Locks(language="en-US"), "Puck", None),
        (Locks(voice="Kore", language="en-US", tag="t"), None, None),
    ],
)
def test_what_the_token_fixes_is_not_asked_for(locks, voice, language):
    speech = live_config(LiveSettings(voice="Puck", language="de-DE"), PLAIN, HANDS_FREE, (), locks).speech_config
    assert isinstance(speech, types.SpeechConfig)
    named = speech.voice_config and speech.voice_config.prebuilt_voice_config
    assert (named and named.voice_name, speech.language_code) == (voice, language)


@pytest.mark.parametrize(
    ("allowed", "offered"),
    [(None, ["get_time", "fetch"]), ({"fetch", "unlock_door"}, ["fetch"]), (set(), []), ({"unlock_door"}, [])],
)
def test_tools_that_the_token_does_not_allow_are_not_offered_and_none_is_added(allowed, offered):
    locks = Locks(tools=None if allowed is None else frozenset(allowed))
    config = said(
        live_config(LiveSettings(), PLAIN, HANDS_FREE, (CLOCK, ToolDeclaration("fetch", "Fetches.", {})), locks)
    )
    functions = [one["name"] for tool in config.get("tools", []) for one in tool["function_declarations"]]
    assert functions == offered
