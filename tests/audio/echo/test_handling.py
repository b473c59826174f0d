"""Choice of the canceller and of the means to interrupt a reply, by settings, installation and measurement."""

from pathlib import Path
from typing import get_args

import pytest

from appliance.audio.echo.handling import TRUSTED_INTERRUPTIONS, EchoHandling, choose
from appliance.audio.echo.loop import LoopMeasurement
from appliance.audio.echo.modes import Aec
from appliance.config.devices import (
    AlsaMicrophoneSettings,
    AlsaSpeakerSettings,
    WavMicrophoneSettings,
    WavSpeakerSettings,
)
from appliance.config.load import load
from appliance.config.schema import Settings
from appliance.core.state import BargeIn

LOUD = LoopMeasurement("mic", "box", -62.0, 0.04, 12.5, 6.0, 11.0, -30.0, 0.2)
FINE = LoopMeasurement("mic", "box", -62.0, 0.04, 12.5, -6.0, 21.0, -8.0, 3.0)
EVERYTHING = frozenset({Aec.WEBRTC, Aec.SPEEX})


def chosen(aec: str = "auto", installed: frozenset[Aec] = EVERYTHING, loop: LoopMeasurement | None = None):
    microphone = AlsaMicrophoneSettings.model_validate({"device": "mic", "aec": aec})
    return choose(
        Settings(microphone=microphone, speaker=AlsaSpeakerSettings(device="box")), loop, EVERYTHING - installed
    )


def test_the_setting_has_the_names_of_the_modes():
    assert set(get_args(AlsaMicrophoneSettings.model_fields["aec"].annotation)) == {aec.value for aec in Aec}


@pytest.mark.parametrize(
    ("aec", "installed", "treated", "interrupted"),
    [
        ("auto", EVERYTHING, Aec.WEBRTC, BargeIn.VOICE),
        ("auto", {Aec.SPEEX}, Aec.SPEEX, BargeIn.WAKE_WORD),
        ("auto", set(), Aec.HALF_DUPLEX, BargeIn.WAKE_WORD),
        ("webrtc", {Aec.SPEEX}, Aec.HALF_DUPLEX, BargeIn.WAKE_WORD),
        ("speex", EVERYTHING, Aec.SPEEX, BargeIn.WAKE_WORD),
        ("half-duplex", EVERYTHING, Aec.HALF_DUPLEX, BargeIn.WAKE_WORD),
        ("off", set(), Aec.OFF, BargeIn.VOICE),
    ],
)
def test_voice_interrupts_where_the_echo_is_taken_away(aec, installed, treated, interrupted):
    handling = chosen(aec, frozenset(installed))
    assert (handling.aec, handling.barge_in) == (treated, interrupted)
    assert handling.reason


def test_what_is_named_and_not_installed_is_told():
    assert "not installed" in chosen("webrtc", frozenset()).reason
    assert "not installed" not in chosen("half-duplex").reason


@pytest.mark.parametrize("aec", ["auto", "off"])
def test_a_loop_that_was_measured_to_be_hopeless_leaves_the_wake_word(aec):
    assert chosen(aec, loop=LOUD).barge_in is BargeIn.WAKE_WORD
    assert chosen(aec, loop=FINE).barge_in is BargeIn.VOICE


def test_a_measurement_of_other_cards_says_nothing():
    elsewhere = LoopMeasurement.restored(LOUD.stored() | {"speaker": "another"})
    assert chosen(loop=elsewhere).barge_in is BargeIn.VOICE


@pytest.mark.parametrize("files", [("microphone",), ("speaker",), ("microphone", "speaker")])
def test_a_recording_is_heard_as_before(tmp_path: Path, files: tuple[str, ...]):
    sections = {
        "microphone": WavMicrophoneSettings(kind="wav", path=tmp_path / "in.wav"),
        "speaker": WavSpeakerSettings(kind="wav", path=tmp_path / "out.wav"),
    }
    handling = choose(Settings().model_copy(update={name: sections[name] for name in files}), LOUD)
    assert (handling.aec, handling.barge_in) == (Aec.OFF, EchoHandling().barge_in) == (Aec.OFF, BargeIn.WAKE_WORD)


@pytest.mark.parametrize("automatic", BargeIn)
def test_what_the_settings_say_counts(automatic: BargeIn):
    for said in BargeIn:
        settings = load([], {"conversation": {"barge_in": said.value}}).settings
        assert settings.policy(automatic).barge_in is said
    assert load([], {}).settings.policy(automatic).barge_in is automatic


def test_a_canceller_that_vouches_for_what_is_heard_lets_more_interruptions_in_a_row_count():
    plain, vouched = (EchoHandling(aec, BargeIn.VOICE).policy(Settings()) for aec in (Aec.OFF, Aec.WEBRTC))
    assert plain.trusted_interruptions < vouched.trusted_interruptions == TRUSTED_INTERRUPTIONS
    assert vouched.barge_in is BargeIn.VOICE
