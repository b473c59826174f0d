import pytest

from appliance.simulator.setup import DetectionSettings, Lock, parse_lock, parse_setup
from appliance.simulator.wire import ContractError, camel_case, parse, samples

MODEL = {"model": "models/any"}


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
    assert samples({"mimeType": "audio/pcm;rate=16000", "data": data}).tolist() == [-5]


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
        ({**MODEL, "realtimeInputConfig": {"activityHandling": "NO_INTERRUPTION"}}, "NO_INTERRUPTION"),
        ({**MODEL, "realtimeInputConfig": {"automaticActivityDetection": {"silenceDurationMs": -1}}}, "Durations"),
    ],
)
def test_a_set_up_that_cannot_be_names_what_is_wrong(setup, name: str):
    with pytest.raises(ContractError, match=name) as caught:
        parse_setup(setup)
    assert caught.value.code == 1007


ASKED = {
    "model": "models/cheap",
    "generationConfig": {"seed": 1, "temperature": 2},
    "tools": [],
    "sessionResumption": {},
}
FIXED = {"model": "models/dear", "generationConfig": {"seed": 7}}


@pytest.mark.parametrize(
    ("lock", "counts"),
    [
        (Lock(), ASKED),
        (Lock(FIXED), FIXED),
        (Lock(FIXED, ("model",)), {**ASKED, "model": "models/dear"}),
        (Lock(FIXED, ("generationConfig.seed",)), {**ASKED, "generationConfig": {"seed": 7, "temperature": 2}}),
        (Lock(FIXED, ("generationConfig.temperature",)), {**ASKED, "generationConfig": {"seed": 1}}),
        (Lock(FIXED, ("generationConfig",)), {**ASKED, "generationConfig": {"seed": 7}}),
        (
            Lock(FIXED, ("tools", "proactivity", "generationConfig.speechConfig.languageCode")),
            {name: ASKED[name] for name in ("model", "generationConfig", "sessionResumption")},
        ),
    ],
)
def test_a_lock_takes_masked_fields_from_the_token_and_leaves_the_rest(lock: Lock, counts):
    assert lock.applied(ASKED) == counts


def test_no_field_mask_locks_all():
    assert parse_lock(FIXED, None) == parse_lock(FIXED, "") == Lock(FIXED)


@pytest.mark.parametrize("mask", ["session_resumption", "model,", "a..b"])
def test_a_field_mask_is_camel_case_paths(mask):
    with pytest.raises(ContractError, match="fieldMask"):
        parse_lock(FIXED, mask)
