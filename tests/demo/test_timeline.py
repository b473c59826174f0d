"""The picture is drawn for a full demo, for an empty one, and refuses in one line where it cannot be."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from appliance.core.latency import Latency
from appliance.core.state import State, Yielding
from appliance.demo.timeline import (
    COLOURS,
    DrawingError,
    Picture,
    RoomLanes,
    _expected,
    _headline,
    _label_marks,
    _mark,
    _scores,
    check_picture,
    draw,
)
from appliance.errors import InputError
from appliance.units import SampleIndex
from appliance.wake.ports import Detection, Score


def picture(seconds: int) -> Picture:
    tone = (np.sin(np.arange(seconds * 16_000) / 10) * 8000).astype(np.int16)
    return Picture(
        microphone=tone,
        expected=[(SampleIndex(16_000), SampleIndex(32_000))] if seconds else [],
        received=16_000,
        scores=[Score("hey_x", SampleIndex(hop * 1280), 0.1) for hop in range(seconds * 12)],
        threshold=0.5,
        detections=[Detection("hey_x", SampleIndex(16_000), 0.9)] if seconds else [],
        states=[(0.0, State.IDLE), (1.0, State.CONNECTING), (1.2, State.INTERRUPTED)] if seconds else [],
        speaker=tone,
        speaker_from=0.1,
        latencies_ms=dict.fromkeys(Latency, (12.0,)),
        trouble=None,
    )


@pytest.mark.parametrize("seconds", [0, 4])
def test_a_picture_is_written(tmp_path: Path, seconds: int):
    path = tmp_path / "timeline.png"
    draw(picture(seconds), path)
    assert path.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("seconds", [pytest.param(0, marks=pytest.mark.slow), 4])
def test_a_picture_of_a_room_is_written(tmp_path: Path, seconds: int):
    lanes = RoomLanes(
        microphone=picture(seconds).microphone,
        microphone_from=-0.4,
        said=[(1.0, 2.0), (3.0, 3.5)] if seconds else [],
        voice=[(1.0, 0.2), (1.032, 0.9)] if seconds else [],
        yieldings=[(3.1, Yielding.DUCKED), (3.2, Yielding.PAUSED), (3.9, Yielding.NONE)] if seconds else [],
    )
    path = tmp_path / "timeline.png"
    draw(replace(picture(seconds), room=lanes), path)
    assert path.read_bytes().startswith(b"\x89PNG")


def test_what_was_never_taken_is_not_shown_as_sent():
    from matplotlib.figure import Figure  # noqa: PLC0415  costly, and every worker collects

    axes = Figure().subplots()
    for received, label in ((0, "never received"), (5, "sent"), (None, "sent")):
        _expected(axes, replace(picture(4), received=received))
        legend = axes.get_legend()
        assert legend is not None
        assert label in legend.get_texts()[-1].get_text()


def test_trouble_is_the_headline():
    assert _headline(replace(picture(0), trouble="nobody answers")).startswith("nobody answers\n")


def test_the_strip_has_the_lights_own_colours():
    assert set(COLOURS) == set(State)
    red, green, blue = COLOURS[State.INTERRUPTED]
    assert (red, green, blue) == (1.0, 1.0, 1.0), "white"
    red, green, blue = COLOURS[State.TROUBLE]
    assert red == 1.0 > green > blue, "amber"
    assert max(COLOURS[State.STOPPED]) < max(COLOURS[State.IDLE]) < 0.5, "off, and faint"


def test_every_line_through_the_picture_has_its_name():
    from matplotlib.figure import Figure  # noqa: PLC0415  costly, and every worker collects

    axes = Figure().subplots()
    shown = replace(picture(4), states=[(0.0, State.IDLE), (1.2, State.INTERRUPTED), (2.0, State.TROUBLE)])
    _mark(axes, shown)
    _label_marks(axes, shown)
    _scores(axes, shown)
    names = {text.get_text().strip() for text in axes.texts}
    assert names == {"wake word", "interrupted", "trouble", "hey_x", "threshold 0.50"}
    assert len(axes.lines) == 3 + 2, "the marks, the score and its threshold"


def test_what_cannot_be_drawn_is_refused_in_one_line(tmp_path: Path):
    with pytest.raises(DrawingError, match="is a PNG"):
        check_picture(tmp_path / "timeline.jpg")
    with pytest.raises(InputError, match="cannot write"):
        draw(picture(0), tmp_path / "absent" / "timeline.png")
