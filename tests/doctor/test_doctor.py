"""The doctor: what is fit, what could be better, what does not work, and what to do."""

import json
from pathlib import Path

import pytest

from appliance.commands.doctor import doctor_command, show_findings
from appliance.doctor import sound, wakeword
from appliance.doctor.finding import Finding, Severity
from appliance.errors import ExitCode
from appliance.provisioning.keys import new_private_key
from appliance.settings import (
    AlsaMicrophone,
    AlsaSpeaker,
    NoWakeWord,
    OpenWakeWord,
    Provisioning,
    Settings,
    WavMicrophone,
)
from tests.soundcard.card import Fault
from tests.soundcard.fixture import PlugIn

VIRTUAL = Settings(
    microphone=AlsaMicrophone(device="virtual_mic"),
    speaker=AlsaSpeaker(device="virtual_speaker"),
    provisioning=Provisioning(
        url="https://server.test", device_id="kitchen", device_key=new_private_key(), server_keys=(f"{'A' * 43}=",)
    ),
)
MICROPHONE = sound.CHECKS[0]


@pytest.mark.parametrize(
    ("fault", "severity", "says"),
    [
        (Fault.FINE, Severity.OK, "is there and free"),
        (Fault.BUSY, Severity.NOTE, "another program has"),
        (Fault.ABSENT, Severity.PROBLEM, "is not there"),
        (Fault.DENIED, Severity.PROBLEM, "add it to the group audio"),
    ],
)
def test_a_card_is_looked_for_under_its_name(plug_in: PlugIn, fault, severity, says):
    plug_in().microphone.fail(fault)
    finding = MICROPHONE(VIRTUAL)
    assert (finding.name, finding.severity) == ("microphone", severity)
    assert says in finding.found


@pytest.mark.parametrize("severity", Severity)
def test_what_was_found_is_shown_as_it_was_said(capsys: pytest.CaptureFixture[str], severity: Severity):
    show_findings([Finding("enrolment", severity, "kitchen at https://[fd00::1]:8443", "ask [/b]")], as_json=False)
    assert capsys.readouterr().out.splitlines()[1].split() == [
        severity.value, "enrolment", "kitchen", "at", "https://[fd00::1]:8443", "ask", "[/b]",
    ]  # fmt: skip


def test_a_file_instead_of_a_card_is_noted():
    finding = MICROPHONE(Settings(microphone=WavMicrophone(kind="wav", path=Path("a.wav"))))
    assert finding.severity is Severity.NOTE


def test_priority_is_allowed_or_its_cost_is_told():
    finding = sound.priority(VIRTUAL)
    assert finding.severity is not Severity.PROBLEM
    assert (finding.severity is Severity.OK) or "LimitRTPRIO=70" in finding.advice


def test_the_wake_word_is_loaded():
    assert wakeword.model(Settings()).severity is Severity.OK
    assert wakeword.model(Settings(wake=NoWakeWord(kind="none"))).severity is Severity.NOTE
    assert wakeword.model(Settings(wake=OpenWakeWord(model="./none.onnx"))).severity is Severity.PROBLEM


def test_a_fit_machine_is_exit_0_and_a_problem_is_not(plug_in: PlugIn, capsys):
    card = plug_in()
    assert doctor_command(VIRTUAL, as_json=True) == ExitCode.OK
    findings = json.loads(capsys.readouterr().out)
    assert {finding["name"] for finding in findings} >= {"microphone", "speaker", "PortAudio", "wake word"}
    card.speaker.fail(Fault.ABSENT)
    assert doctor_command(VIRTUAL, as_json=False) == ExitCode.UNFIT
    assert "problem" in capsys.readouterr().out
