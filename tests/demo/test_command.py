"""The end of a demo: its exit code and its one line, for every outcome of the conversation."""

import io
import wave
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from appliance.audio.ports import Block
from appliance.conversation import Moment
from appliance.core.events import DeadlineReached, LinkOpened, Trouble
from appliance.core.state import Context, State
from appliance.demo.command import Demo
from appliance.demo.options import DemoOptions
from appliance.demo.progress import make_console
from appliance.demo.servers import Mishap, Service
from appliance.errors import ExitCode, LinkCause, LinkError
from appliance.units import UPLINK, Pcm, SampleIndex, Seconds
from appliance.wake.ports import Detection

SPEECH: Pcm = np.random.default_rng(1).integers(-2000, 2000, 1600).astype(np.int16)


@pytest.fixture
def demo(tmp_path: Path) -> Demo:
    """A demo in which a word was heard, a link opened, and all samples received."""
    options = DemoOptions(
        microphone=tmp_path / "mic.wav",
        room_m=None,
        barge_in="voice",
        aec="auto",
        duration_s=Seconds(0.1),
        wait_s=600.0,
        speaker=None,
        wake="hey_rhasspy",
        link_delay_s=0.0,
        service=Service.SIMULATOR,
        mishap=Mishap.NONE,
        report=tmp_path / "report.json",
        timeline=None,
    )
    held = Demo(options, tmp_path, make_console(io.StringIO()))
    held.records.mkdir()
    held.recording.on_block(Block(SampleIndex(0), SPEECH, Seconds(1.0)))
    held.recording.detections.append(Detection("hey_rhasspy", SampleIndex(300), 0.9))
    held.recording.moments.append(Moment(Seconds(1.0), LinkOpened(1), Context(), Context()))
    held.expected.spans.append((SampleIndex(100), SampleIndex(1600)))
    record(held, SPEECH[100:])
    return held


def record(demo: Demo, pcm: Pcm) -> None:
    with wave.open(str(demo.records / "session-1.wav"), "wb") as file:
        file.setparams((1, 2, 16_000, 0, "NONE", ""))
        file.writeframes(pcm.astype("<i2").tobytes())


def outcome(demo: Demo) -> tuple[ExitCode, str | None]:
    report = demo.report()
    return report.exit, report.trouble


def test_all_well(demo: Demo):
    assert outcome(demo) == (ExitCode.OK, None)


def test_a_sample_that_did_not_arrive_is_a_failure(demo: Demo):
    record(demo, np.delete(SPEECH[100:], 700))
    code, trouble = outcome(demo)
    assert code == ExitCode.BUG
    assert "not every sample" in str(trouble)
    lost = demo.report().uplink
    assert lost is not None
    assert lost.lost == 1


def test_a_session_without_a_record_proves_nothing(demo: Demo):
    (demo.records / "session-1.wav").unlink()
    code, trouble = outcome(demo)
    assert code == ExitCode.UNAVAILABLE
    assert "without a record" in str(trouble)
    assert demo.report().document()["uplink"]["lost"] is None


def test_an_answer_that_never_came_is_told_though_nothing_failed(demo: Demo):
    trouble = Context(state=State.TROUBLE, trouble=Trouble.SILENT_SERVICE)
    demo.recording.moments.append(Moment(Seconds(2.0), DeadlineReached(1), Context(), trouble))
    assert outcome(demo) == (ExitCode.UNAVAILABLE, "no answer: silent-service")


def test_an_error_counts_before_what_follows_from_it(demo: Demo):
    record(demo, SPEECH[100:200])
    demo.recording.errors.append(LinkError("refused", LinkCause.REFUSED))
    assert outcome(demo) == (ExitCode.REFUSED, "refused")


def test_a_demo_that_was_stopped_is_no_failure_whatever_it_had_not_sent(demo: Demo):
    record(demo, SPEECH[100:200])
    demo._stop()
    assert outcome(demo) == (ExitCode.OK, "stopped by a signal before it was over")


def test_what_was_asked_again_on_purpose_is_no_bug(demo: Demo):
    record(demo, np.concatenate([SPEECH[100:], SPEECH[900:]]))
    assert outcome(demo)[0] == ExitCode.BUG, "nobody has asked for it"
    demo.repeated = lambda: 700
    assert outcome(demo) == (ExitCode.OK, None)
    uplink = demo.report().document()["uplink"]
    assert (uplink["duplicated"], uplink["repeated"], uplink["lost"]) == (0, 700, 0)
    demo.repeated = lambda: 699
    assert outcome(demo)[0] == ExitCode.BUG


def test_it_is_said_how_to_hear_the_answers(demo: Demo, tmp_path: Path):
    out = io.StringIO()
    demo.console = make_console(out)
    heard = tmp_path / "the reply.wav"
    heard.touch()
    demo.options = replace(demo.options, report=None, speaker=heard)
    demo.write(demo.report())
    wrote, hint = out.getvalue().splitlines()
    assert wrote == f"wrote {heard}"
    assert hint.startswith("to hear it: ")
    assert hint.endswith(f" '{heard}'")


def test_a_picture_that_cannot_be_drawn_takes_nothing_from_the_report(demo: Demo, tmp_path: Path):
    demo.options = replace(demo.options, timeline=tmp_path / "no" / "t.png")
    report = demo.write(demo.report())
    assert report.exit == ExitCode.CANNOT_WRITE
    assert "cannot write" in str(report.trouble)
    assert f'"exit": {ExitCode.CANNOT_WRITE.value}' in (tmp_path / "report.json").read_text()


def test_a_path_is_printed_as_it_is(demo: Demo, tmp_path: Path):
    out = io.StringIO()
    demo.console = make_console(out)
    (tmp_path / "[x]").mkdir()
    demo.options = replace(demo.options, report=tmp_path / "[x]" / ":moon:.json")
    demo.write(demo.report())
    assert out.getvalue() == f"wrote {tmp_path}/[x]/:moon:.json\n"


def test_a_device_that_hears_no_wake_word_is_not_waited_for_any_longer(demo: Demo):
    demo.options = replace(demo.options, microphone="a card", duration_s=None, wait_s=20.0)
    demo.expected.spans.clear()
    early, late = (Block(SampleIndex(UPLINK.frames(at)), SPEECH, Seconds(at)) for at in (19.9, 20.0))
    assert [demo._is_over(early), demo._is_over(late)] == [False, True]
