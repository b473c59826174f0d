"""The picture is drawn for a full demo, for an empty one, and refuses in one line where it cannot be."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from appliance.core.latency import Latency
from appliance.core.state import State
from appliance.demo.timeline import COLOURS, CannotDraw, Picture, _headline, _owed, check, draw
from appliance.errors import InputError
from appliance.units import SampleIndex
from appliance.wake.ports import Detection, Score


def picture(seconds: int) -> Picture:
    tone = (np.sin(np.arange(seconds * 16_000) / 10) * 8000).astype(np.int16)
    return Picture(
        microphone=tone,
        owed=[(SampleIndex(16_000), SampleIndex(32_000))] if seconds else [],
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


def test_what_was_never_taken_is_not_shown_as_sent():
    from matplotlib.figure import Figure  # noqa: PLC0415  costly, and every worker collects

    axes = Figure().subplots()
    for received, label in ((0, "never took it"), (5, "sent"), (None, "sent")):
        _owed(axes, replace(picture(4), received=received))
        legend = axes.get_legend()
        assert legend is not None
        assert label in legend.get_texts()[-1].get_text()


def test_trouble_is_the_headline():
    assert _headline(replace(picture(0), trouble="nobody answers")).startswith("nobody answers\n")


def test_every_state_has_a_colour():
    assert set(COLOURS) == set(State)


def test_what_cannot_be_drawn_is_refused_in_one_line(tmp_path: Path):
    with pytest.raises(CannotDraw, match="is a PNG"):
        check(tmp_path / "timeline.jpg")
    with pytest.raises(InputError, match="cannot be written"):
        draw(picture(0), tmp_path / "absent" / "timeline.png")
