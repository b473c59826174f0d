"""Findings from a recording of the loop: in simulated rooms, with the sound that the doctor plays."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from appliance.audio.echo.loop import FARTHEST_M, LoopMeasurement
from appliance.cli.commands.doctor import show_findings
from appliance.doctor.finding import Severity
from appliance.doctor.loop import LoopRecording, analysed, findings, verdict
from appliance.doctor.loop_recorder import loop_sound
from appliance.errors import ExitCode
from appliance.simulator.room.room import Room, RoomOptions
from appliance.units import REPLY, Pcm, Seconds

PIECE = REPLY.frames(0.01)
AHEAD = 20
"""Pieces that are played ahead of what is captured: a speaker may be early by the driver's account."""
MEASURED = LoopMeasurement("mic", "speaker", -62.0, 0.12, 12.0, -3.0, 21.0, -6.0, 3.0)


@cache
def sound() -> Pcm:
    """The sound, less loud, with silence around it."""
    pieces = (np.zeros(REPLY.frames(1.5), np.int16), loop_sound() * 0.7, np.zeros(REPLY.frames(1.5), np.int16))
    whole = np.concatenate(pieces).astype(np.int16)
    return whole[: len(whole) // PIECE * PIECE]


@cache
def heard_in(options: RoomOptions) -> LoopMeasurement:
    """Measure the loop of a room."""
    room, captured, period_s = Room(options), [], 0.01 / (1 + options.ppm * 1e-6)
    pieces = sound().reshape(-1, PIECE)
    for number in range(len(pieces) + AHEAD):
        if number < len(pieces):
            room.played(pieces[number], Seconds(number * period_s))
        if number >= AHEAD:
            captured.append(room.capture(Seconds((number - AHEAD) * 0.01)))
    return analysed(LoopRecording(sound(), np.concatenate(captured)), "mic", "speaker")


def rare(*values: tuple[object, ...]) -> list[object]:
    """Return parameters of the slow run."""
    return [pytest.param(*value, marks=pytest.mark.slow) for value in values]


@pytest.mark.parametrize(("delay_s", "ppm"), [(0.6, -150.0), *rare((0.12, 0.0), (0.0, 100.0))])
def test_delay_and_drift_are_found_and_the_echo_can_be_taken_away(delay_s: float, ppm: float):
    measured = heard_in(RoomOptions(delay_s=delay_s, ppm=ppm))
    assert measured.delay_s == pytest.approx(delay_s + 0.3 / 343, abs=0.001)
    assert measured.ppm == pytest.approx(ppm, abs=5)
    assert measured.erle_db > 18
    assert measured.noise_dbfs == pytest.approx(-65, abs=1)


@pytest.mark.parametrize("louder_db", [-12.0, *rare((6.0,))])
def test_the_gain_of_the_echo_is_measured_and_its_relation_to_speech_follows(louder_db: float):
    before = heard_in(RoomOptions())
    measured = heard_in(RoomOptions(echo_dbfs=RoomOptions().echo_dbfs + louder_db))
    assert measured.echo_gain_db - before.echo_gain_db == pytest.approx(louder_db, abs=0.5)
    assert measured.speech_to_echo_db - before.speech_to_echo_db == pytest.approx(-louder_db, abs=0.5)


@pytest.mark.parametrize(
    ("options", "least_m", "most_m"),
    [
        (RoomOptions(), 2, 4),
        *rare(
            (RoomOptions(echo_dbfs=-36, speaker_m=1.0), FARTHEST_M, FARTHEST_M),
            (RoomOptions(echo_dbfs=-14, speaker_m=0.1), 0, 0.5),
        ),
        (RoomOptions(clips_at=0.02, echo_dbfs=-10), 0, 1),
        *rare((RoomOptions(noise_dbfs=-42), 0.5, 2), (RoomOptions(noise_dbfs=-30), 0, 0)),
        (RoomOptions(echo_dbfs=-100), FARTHEST_M, FARTHEST_M),
    ],
    ids=["ordinary", "far apart", "close and loud", "distorted", "noisy", "very noisy", "headset"],
)
def test_the_reach_of_a_person_depends_on_echo_noise_and_distortion(options, least_m, most_m):
    assert least_m <= heard_in(options).reach_m <= most_m


def test_a_microphone_that_hears_no_speaker_is_fine():
    measured = heard_in(RoomOptions(echo_dbfs=-100))
    assert measured.delay_s is None
    assert measured.allows_voice
    assert verdict(measured).found == "the microphone does not hear the speaker: fine"
    assert [finding.name for finding in findings(measured)] == ["noise", "interrupting"]


def test_a_speaker_that_overdrives_the_microphone_is_noticed():
    measured = heard_in(RoomOptions(echo_dbfs=-4, speaker_m=0.1))
    assert verdict(measured).found == "the speaker overdrives the microphone"


@pytest.mark.parametrize(
    ("measured", "severity", "says"),
    [
        (MEASURED, Severity.OK, "you can interrupt it by speaking from 3 m"),
        (replace(MEASURED, reach_m=0.5), Severity.NOTE, "you can interrupt it by speaking from 0.5 m"),
        (replace(MEASURED, reach_m=0.0), Severity.NOTE, "the speaker drowns a person's voice"),
        (replace(MEASURED, reach_m=0.0, erle_db=2.0), Severity.NOTE, "the echo is too distorted to be taken away"),
        (replace(MEASURED, reach_m=0.0, noise_dbfs=-35), Severity.NOTE, "it is too noisy here"),
        (replace(MEASURED, reach_m=0.0, noise_dbfs=-35, delay_s=None), Severity.NOTE, "it is too noisy here"),
        (replace(MEASURED, clipped=0.01), Severity.NOTE, "the speaker overdrives the microphone"),
    ],
)
def test_the_verdict_says_in_words_whether_one_can_interrupt_it_and_what_to_do(measured, severity, says):
    finding = verdict(measured)
    assert (finding.name, finding.severity) == ("interrupting", severity)
    assert finding.found.startswith(says)
    assert bool(finding.advice) is (severity is Severity.NOTE)


@pytest.mark.parametrize("measured", [MEASURED, replace(MEASURED, reach_m=0.0), replace(MEASURED, delay_s=None)])
def test_the_report_fits_a_terminal_and_is_no_problem(measured, monkeypatch, capsys):
    monkeypatch.setattr("appliance.console.output.WIDE", 80)
    assert show_findings([*findings(measured)], as_json=False) == ExitCode.OK
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    assert len(lines) <= 20


def test_a_recording_of_silence_is_a_mistake_of_the_caller():
    silence = np.zeros(48_000, np.int16)
    with pytest.raises(ValueError, match="nothing was played"):
        analysed(LoopRecording(silence, silence), "mic", "speaker")
