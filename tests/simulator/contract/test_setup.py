import math

import pytest

from appliance.simulator.contract.messages import ContractError, camel_case, parse, samples
from appliance.simulator.contract.setup import Compression, DetectionSettings, parse_setup

MODEL = {"model": "models/any"}
THINKER = "models/gemini-3.8-live-extended-thinking"


def test_names_are_taken_in_both_spellings_and_the_users_own_are_left_alone():
    spoken = {"tool_response": {"function_responses": [{"id": "1", "response": {"time_zone": "local"}}]}}
    assert camel_case(spoken) == {
        "toolResponse": {"functionResponses": [{"id": "1", "response": {"time_zone": "local"}}]}
    }


@pytest.mark.parametrize("payload", [b"", b"[]", b"{}", b'{"a": {}, "b": {}}', b'{"setup": 1}', b"\xff"])
def test_a_message_is_an_object_with_one_object(payload: bytes):
    with pytest.raises(ContractError) as caught:
        parse(payload)
    assert caught.value.code == 1007


@pytest.mark.parametrize("data", ["-_8=", "-_8", "+/8=", "+/8"])
def test_audio_is_base64_of_either_alphabet_with_padding_or_without(data: str):
    pcm, rate_hz = samples({"mimeType": "audio/pcm;rate=16000", "data": data})
    assert (pcm.tolist(), rate_hz) == ([-5], 16000)


def test_detection_is_on_unless_it_is_disabled():
    assert parse_setup(MODEL).detection == DetectionSettings()
    chosen = {"automaticActivityDetection": {"silenceDurationMs": 300, "prefixPaddingMs": 100}}
    assert parse_setup({**MODEL, "realtimeInputConfig": chosen}).detection == DetectionSettings(100, 300)
    off = {"automaticActivityDetection": {"disabled": True}}
    assert parse_setup({**MODEL, "realtimeInputConfig": off}).detection is None


@pytest.mark.parametrize(
    ("setup", "name"),
    [
        ({}, "model"),
        ({"model": "any"}, "model"),
        ({**MODEL, "colour": {}}, "colour"),
        ({**MODEL, "sessionResumption": {"handle": 1}}, "handle"),
        ({**MODEL, "generationConfig": "all"}, "generationConfig"),
        ({**MODEL, "generationConfig": {"responseModalities": ["AUDIO", "TEXT"]}}, "AUDIO"),
        ({**MODEL, "realtimeInputConfig": {"automaticActivityDetection": {"startSensitivity": "HIGH"}}}, "startSens"),
        (
            {**MODEL, "realtimeInputConfig": {"automaticActivityDetection": {"endOfSpeechSensitivity": "MEDIUM"}}},
            "endOfSpeechSensitivity",
        ),
        ({**MODEL, "sessionResumption": {"transparent": True}}, "transparent"),
        ({**MODEL, "generationConfig": {"colour": 1}}, "colour"),
        ({**MODEL, "contextWindowCompression": {"triggerTokens": "many"}}, "triggerTokens"),
        ({**MODEL, "contextWindowCompression": {"triggerTokens": 200_000}}, "triggerTokens"),
        ({**MODEL, "tools": {}}, "tools"),
        ({**MODEL, "tools": [{"functionDeclarations": [{}]}]}, "tools"),
        ({"model": "models/gemini-3.8-live", "generationConfig": {"thinkingConfig": {}}}, "Thinking"),
        ({"model": "models/gemini-3.8-live", "generationConfig": {"enableAffectiveDialog": True}}, "Affective"),
        ({"model": "models/gemini-3.8-live", "proactivity": {"proactiveAudio": False}}, "Proactive"),
        ({"model": THINKER}, "thinking level"),
        ({"model": THINKER, "generationConfig": {"thinkingConfig": {"thinkingLevel": "MINIMAL"}}}, "thinking level"),
        (
            {
                "model": THINKER,
                "generationConfig": {"thinkingConfig": {"thinkingLevel": "low"}},
                "tools": [{"functionDeclarations": [{"name": "get_time", "behavior": "BLOCKING"}]}],
            },
            "BLOCKING",
        ),
        ({**MODEL, "realtimeInputConfig": {"automaticActivityDetection": {"silenceDurationMs": -1}}}, "Durations"),
        (
            {**MODEL, "realtimeInputConfig": {"automaticActivityDetection": {"startOfSpeechSensitivity": []}}},
            "startOfSpeechSensitivity",
        ),
        ({**MODEL, "contextWindowCompression": {"triggerTokens": math.inf}}, "triggerTokens"),
        ({**MODEL, "contextWindowCompression": {"slidingWindow": {"targetTokens": math.nan}}}, "targetTokens"),
        ({**MODEL, "tools": [{"functionDeclarations": [{"name": "time", "behavior": []}]}]}, "behavior"),
    ],
)
def test_a_set_up_that_cannot_be_names_what_is_wrong(setup, name: str):
    with pytest.raises(ContractError, match=name) as caught:
        parse_setup(setup)
    assert caught.value.code == 1007


def test_what_one_model_refuses_another_takes():
    thinking = {"thinkingConfig": {"thinking_level": "low"}, "enableAffectiveDialog": True}
    for model in ("models/gemini-2.5-flash-native-audio-preview-12-2025", "models/gemini-3.1-flash-live-preview"):
        parse_setup({"model": model, "generationConfig": thinking, "proactivity": {"proactiveAudio": False}})
    parse_setup({"model": THINKER, "generationConfig": {"thinkingConfig": {"thinkingLevel": "low"}}})


@pytest.mark.parametrize(
    ("model", "declared", "behavior"),
    [
        ("models/gemini-3.8-live", {}, "NON_BLOCKING"),
        ("models/gemini-3.8-live", {"behavior": "BLOCKING"}, "BLOCKING"),
        ("models/gemini-3.1-flash-live-preview", {}, "BLOCKING"),
        ("models/any", {"behavior": "NON_BLOCKING"}, "NON_BLOCKING"),
    ],
)
def test_the_model_decides_whether_it_waits_for_a_tool_unless_told(model: str, declared, behavior: str):
    setup = {"model": model, "tools": [{"googleSearch": {}}, {"functionDeclarations": [{"name": "time", **declared}]}]}
    parsed = parse_setup(setup)
    assert parsed.behavior("time").value == behavior
    assert parsed.behavior("undeclared").value == "BLOCKING"


def test_compression_takes_its_counts_as_numbers_or_strings_and_has_defaults():
    asked = {"triggerTokens": "25000", "slidingWindow": {"targetTokens": 12000}}
    assert parse_setup({**MODEL, "contextWindowCompression": asked}).compression == Compression(25_000, 12_000)
    assert parse_setup({**MODEL, "contextWindowCompression": {}}).compression == Compression(104_857, 52_428)
    assert parse_setup(MODEL).compression is None


def test_an_empty_handle_asks_for_a_new_session():
    parsed = parse_setup({**MODEL, "sessionResumption": {"handle": ""}})
    assert parsed.resumption
    assert parsed.handle is None
