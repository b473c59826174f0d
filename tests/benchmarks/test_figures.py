"""Figures of benchmarks: what is printed and what is written."""

import json

import pytest
from rich.console import Console

from tests.benchmarks.figures import Figure, compared, report


@pytest.mark.parametrize(
    ("value", "goal", "holds"),
    [
        (35.0, "<= 35", True),
        (35.1, "<= 35", False),
        (0, "= 0", True),
        (1, "= 0", False),
        (7, ">= 5", True),
        (1, None, None),
    ],
)
def test_a_goal_is_met_or_not(value, goal, holds):
    assert Figure("flush_ms", value, "ms", goal).holds is holds


def test_a_goal_that_cannot_be_read_is_an_error():
    with pytest.raises(ValueError, match="no goal: about 3"):
        _ = Figure("flush_ms", 1, "ms", "about 3").holds


def test_figures_are_a_table_and_a_document(tmp_path):
    console = Console(width=160, record=True, quiet=True)
    figures = [compared("flush_ms", 31.2, "ms", "<= 35", ("seed loop", 156.0)), Figure("rss_mb", 70, "MB", "<= 60")]
    report("audio", figures, console, tmp_path / "audio.json")
    document = json.loads((tmp_path / "audio.json").read_text())
    assert document["part"] == "audio"
    assert document["figures"][0] == {
        "name": "flush_ms", "value": 31.2, "unit": "ms", "goal": "<= 35", "reference": "seed loop 156", "ratio": 0.2,
        "holds": True,
    }  # fmt: skip
    assert document["figures"][1]["holds"] is False
