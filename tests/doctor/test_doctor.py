"""The doctor: what is fit, what could be better, what does not work, and what to do."""

import json
import re
import sys
from pathlib import Path

import pytest

from appliance.cli.commands.doctor import doctor_command, show_findings
from appliance.config.devices import (
    AlsaMicrophoneSettings,
    AlsaSpeakerSettings,
    GpioButtonSettings,
    NoButtonSettings,
    NoIndicatorSettings,
    NoWakeWordSettings,
    OpenWakeWordSettings,
    WavMicrophoneSettings,
    WavSpeakerSettings,
)
from appliance.config.schema import ProvisioningSettings, Settings
from appliance.doctor import devices
from appliance.doctor.finding import Finding, Severity
from appliance.errors import ExitCode
from appliance.provisioning.common.keys import new_private_key, private_key, public_key_text
from appliance.virtual_card.card import Fault, Hardware, Sample
from tests.support import onnx_files
from tests.support.virtual_card import PlugIn

VIRTUAL = Settings(
    microphone=AlsaMicrophoneSettings(device="virtual_mic"),
    speaker=AlsaSpeakerSettings(device="virtual_speaker"),
    indicator=NoIndicatorSettings(kind="none"),
    button=NoButtonSettings(kind="none"),
    provisioning=ProvisioningSettings(
        url="https://server.test",
        device_id="kitchen",
        device_key=new_private_key(),
        server_keys=(public_key_text(private_key(new_private_key())),),
    ),
)


@pytest.mark.parametrize(
    ("fault", "severity", "says"),
    [
        (Fault.FINE, Severity.OK, "virtual_mic opens: 16000 Hz, mono"),
        pytest.param(Fault.BUSY, Severity.NOTE, "another program uses", marks=pytest.mark.slow),
        (Fault.ABSENT, Severity.PROBLEM, "is missing"),
        pytest.param(Fault.DENIED, Severity.PROBLEM, "add this user to the group audio", marks=pytest.mark.slow),
    ],
)
def test_a_card_is_looked_for_under_its_name(plug_in: PlugIn, fault, severity, says):
    plug_in().microphone.fail(fault)
    microphone, speaker = devices.cards(VIRTUAL)
    assert (microphone.name, microphone.severity) == ("microphone", severity)
    assert says in microphone.found
    assert (speaker.name, speaker.severity) == ("speaker", Severity.OK)


@pytest.mark.parametrize(
    ("hardware", "severity", "says"),
    [
        pytest.param(
            Hardware(16_000, (2, 2)), Severity.OK, "virtual_speaker opens: 16000 Hz, 2 channels", marks=pytest.mark.slow
        ),
        (Hardware(48_000, (2, 8), Sample.IEC958_SUBFRAME_LE), Severity.OK, "virtual_speaker opens: 48000 Hz"),
        (Hardware(4_000), Severity.PROBLEM, "the speaker virtual_speaker: it has no rate from 8 to 192 kHz"),
    ],
)
def test_a_card_that_is_there_is_fit_only_if_the_daemon_can_open_it(plug_in: PlugIn, hardware, severity, says):
    plug_in(speaker=hardware)
    microphone, speaker = devices.cards(VIRTUAL)
    assert microphone.severity is Severity.OK
    assert speaker.severity is severity
    assert says in speaker.found


@pytest.mark.parametrize(
    ("mistake", "says"),
    [
        ("pcm.extra {\n type plug\n", r"cannot be opened: ALSA says: .*Unexpected.*; .*/asound\.conf may be old"),
        pytest.param(
            "this is no setting\n}\n",
            r"cannot be opened: ALSA says: .*:5:1:Unexpected.*; .*/asound\.conf may be old",
            marks=pytest.mark.slow,
        ),
        (
            '@hooks [ { func hook_of_nobody lib "libasound_module_conf_nobody.so" errors false } ]\n',
            r"cannot be opened: ALSA says: .*hook_of_nobody",
        ),
        ("pcm.!virtual_mic { type nobody }\n", r"cannot be opened: ALSA says: .*libasound_module_pcm_nobody\.so"),
        ('pcm.!virtual_mic { type plug slave.pcm "gone" }\n', "is missing: .*; ALSA says: Unknown PCM gone"),
    ],
)
def test_what_is_wrong_with_asound_conf_is_told_in_alsas_own_words(plug_in: PlugIn, mistake, says):
    plug_in().configure(mistake)
    microphone, _ = devices.cards(VIRTUAL)
    assert microphone.severity is Severity.PROBLEM
    assert re.search(says, microphone.found)
    assert "\n" not in microphone.found


@pytest.mark.parametrize("severity", Severity)
def test_what_was_found_is_shown_as_it_was_said(capsys: pytest.CaptureFixture[str], severity: Severity):
    show_findings([Finding("enrolment", severity, "kitchen at https://[fd00::1]:8443", "ask [/b]")], as_json=False)
    assert capsys.readouterr().out.splitlines()[1].split() == [
        severity.value, "enrolment", "kitchen", "at", "https://[fd00::1]:8443", "ask", "[/b]",
    ]  # fmt: skip


def test_a_file_instead_of_a_card_is_noted():
    settings = Settings(
        microphone=WavMicrophoneSettings(kind="wav", path=Path("a.wav")),
        speaker=WavSpeakerSettings(kind="wav", path=Path("b.wav")),
    )
    assert [finding.severity for finding in devices.cards(settings)] == [Severity.NOTE, Severity.NOTE]


def test_priority_is_allowed_or_its_cost_is_told():
    finding = devices.realtime_priority(VIRTUAL)
    assert finding.severity is not Severity.PROBLEM
    assert (finding.severity is Severity.OK) or "LimitRTPRIO=70" in finding.advice


@pytest.mark.parametrize("aec", ["auto", "webrtc", "half-duplex", "off"])
def test_what_takes_the_echo_away_is_there(aec: str):
    microphone = AlsaMicrophoneSettings.model_validate({"aec": aec})
    assert devices.echo(Settings(microphone=microphone)).severity is Severity.OK


def test_the_wake_word_is_loaded():
    assert devices.wake_word(Settings()).severity is Severity.OK
    assert devices.wake_word(Settings(wake=NoWakeWordSettings(kind="none"))).severity is Severity.NOTE
    assert devices.wake_word(Settings(wake=OpenWakeWordSettings(model="./none.onnx"))).severity is Severity.PROBLEM


def test_the_voice_detector_is_loaded_or_its_lack_is_told(monkeypatch: pytest.MonkeyPatch):
    assert devices.voice_detector(Settings()).severity is Severity.OK
    monkeypatch.setattr(sys, "path", [])
    finding = devices.voice_detector(Settings())
    assert (finding.severity, finding.advice[:20]) == (Severity.NOTE, "install it again; un")


def test_a_graph_that_cannot_be_computed_is_a_problem(tmp_path: Path):
    path = tmp_path / "odd.onnx"
    path.write_bytes(b"no graph")
    path.with_name("odd.onnx.sha256").write_text(f"{onnx_files.digest(path)}  odd.onnx\n")
    finding = devices.wake_word(Settings(wake=OpenWakeWordSettings(model=str(path))))
    assert finding.severity is Severity.PROBLEM
    assert "the graph odd cannot be used" in finding.found


def test_a_fit_machine_is_exit_0_and_a_problem_is_not(plug_in: PlugIn, capsys):
    card = plug_in()
    assert doctor_command(VIRTUAL, as_json=True) == ExitCode.OK
    findings = json.loads(capsys.readouterr().out)
    assert {finding["name"] for finding in findings} >= {"microphone", "speaker", "PortAudio", "wake word"}
    card.speaker.fail(Fault.ABSENT)
    assert doctor_command(VIRTUAL, as_json=False) == ExitCode.UNFIT
    assert "problem" in capsys.readouterr().out


@pytest.mark.skipif(Path("/dev/gpiochip0").exists(), reason="this machine has GPIO pins")
def test_pins_are_tried_as_the_daemon_claims_them():
    light, button = devices.pins(Settings())
    assert (light.name, light.severity, button.name, button.severity) == (
        "light", Severity.PROBLEM, "button", Severity.PROBLEM
    )  # fmt: skip
    assert "the GPIO chip cannot be opened" in light.found
    assert "indicator.kind" in light.advice
    assert [one.name for one in devices.pins(VIRTUAL.model_copy(update={"button": GpioButtonSettings()}))] == ["button"]
