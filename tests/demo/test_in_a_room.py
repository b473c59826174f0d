"""The whole of it in a room, through ALSA: nobody but a person interrupts an answer."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from appliance.virtual_card.build import BuildError, plugin

pytestmark = [pytest.mark.realtime, pytest.mark.slow]


@pytest.fixture
def report(tmp_path: Path) -> dict[str, Any]:
    """The report on a demo at 30 cm: the first answer is spoken over after four seconds, the second never."""
    try:
        plugin()
    except BuildError as error:
        pytest.skip(f"no virtual sound card: {error}")
    path = tmp_path / "report.json"
    command = [sys.executable, "-m", "appliance", "demo", "--room", "0.3m", "--report", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=150)
    assert done.returncode == 0, done.stdout + done.stderr
    found: dict[str, Any] = json.loads(path.read_text())
    if found["room"]["late_samples"]:
        pytest.skip("the machine is too busy for a room in real time")
    return found


def test_a_person_interrupts_the_answer_and_it_does_not_interrupt_itself(report: dict[str, Any]):
    room = report["room"]
    assert room["interrupted_itself"] == 0
    assert (report["turns"], report["interruptions"]) == (2, 1)
    (silent_ms,) = room["silent_ms"]
    assert silent_ms is not None
    assert silent_ms < 1_500
    assert room["echo"]["state"] == "converged"
    assert report["uplink"]["lost"] == 0
