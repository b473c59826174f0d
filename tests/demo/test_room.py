"""The report on a demo in a room: an appliance that interrupts itself is told from one that a person interrupts."""

import json
import wave
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from appliance.conversation import Moment
from appliance.core.events import ServerInterrupted, VoiceConfirmed, VoiceSuspected
from appliance.core.state import Context, State, Yielding
from appliance.demo.recorder import Recording
from appliance.demo.room import RoomRecord, RoomReport, read_record, room_report, silent_from
from appliance.units import REPLY, Seconds

PLAYING = Context(state=State.SPEAKING)
DUCKED = replace(PLAYING, yielding=Yielding.DUCKED)
PAUSED = replace(PLAYING, yielding=Yielding.PAUSED)
CUT = replace(PLAYING, state=State.INTERRUPTED)
BEGUN_AT = Seconds(100.0)
QUESTION = (Seconds(102.0), Seconds(104.0))
OVER = (Seconds(110.0), Seconds(112.0))


def record(*sounds: tuple[float, float]) -> RoomRecord:
    """Twenty seconds of a speaker that sounds in these spans."""
    speaker = np.zeros(REPLY.frames(20), np.int16)
    for begin, end in sounds:
        speaker[REPLY.frames(begin - BEGUN_AT) : REPLY.frames(end - BEGUN_AT)] = 5_000
    return RoomRecord(BEGUN_AT, [QUESTION, OVER], 1, 0, np.zeros(0, np.int16), speaker)


def report(moments: list[Moment], sounds: tuple[tuple[float, float], ...] = ((106.0, 110.4),)) -> RoomReport:
    return room_report(record(*sounds), Recording(moments=moments), 0.3, None)


def suspected(at: float) -> Moment:
    return Moment(Seconds(at), VoiceSuspected(), PLAYING, DUCKED)


def confirmed(at: float) -> Moment:
    return Moment(Seconds(at), VoiceConfirmed(), DUCKED, PAUSED)


def interrupted(at: float, before: Context) -> Moment:
    return Moment(Seconds(at), ServerInterrupted(1), before, CUT)


def test_a_person_interrupts():
    found = report([suspected(110.15), confirmed(110.3), interrupted(110.8, PAUSED)])
    assert (found.false_interruptions, found.false_ducks) == (0, 0)
    (over,) = found.spoken_over
    assert over.first_duck_ms == pytest.approx(150)
    assert over.silent_ms == pytest.approx(400, abs=15)
    assert found.document()["interrupted_itself"] == 0
    assert ("interrupted itself", "no") in list(found.rows())


def test_it_interrupts_itself():
    found = report([interrupted(107.0, PLAYING), suspected(108.0), confirmed(108.1), interrupted(108.5, PAUSED)])
    assert (found.false_interruptions, found.false_pauses, found.false_ducks) == (2, 1, 1)
    assert ("interrupted itself", "2 times") in list(found.rows())


def test_a_duck_for_nothing_is_no_interruption():
    found = report([suspected(107.0)])
    assert (found.false_interruptions, found.false_ducks) == (0, 1)


def test_a_service_that_interrupts_alone_counts_from_there():
    (over,) = report([interrupted(110.9, PLAYING)]).spoken_over
    assert over.first_duck_ms == pytest.approx(900)


def test_an_answer_that_plays_to_its_end_was_not_interrupted():
    (over,) = report([], ((106.0, 117.0),)).spoken_over
    assert (over.first_duck_ms, over.silent_ms) == (None, None)


def test_a_pause_that_is_played_on_is_not_the_end():
    assert silent_from(record((106.0, 110.4), (111.2, 111.6), (114.0, 116.0)), OVER[0]) == pytest.approx(
        111.6, abs=0.02
    )
    assert silent_from(record((106.0, 120.0)), OVER[0]) is None
    assert silent_from(record(), OVER[0]) == pytest.approx(OVER[0], abs=0.02)
    assert silent_from(record(), Seconds(500.0)) is None


def test_a_record_is_read(tmp_path: Path):
    assert read_record(tmp_path) is None
    for name, rate_hz in (("microphone", 16_000), ("speaker", 24_000)):
        with wave.open(str(tmp_path / f"{name}.wav"), "wb") as file:
            file.setparams((1, 2, rate_hz, 0, "NONE", ""))
            file.writeframes(np.arange(4, dtype="<i2").tobytes())
    (tmp_path / "room.json").write_text(json.dumps({"begun_at": 1.5, "said": [[2.0, 3.0]], "asked": 1, "late": 7}))
    read = read_record(tmp_path)
    assert read is not None
    assert (read.begun_at, list(read.said), read.late, len(read.speaker)) == (1.5, [(2.0, 3.0)], 7, 4)
