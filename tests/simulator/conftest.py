import wave
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import appliance
from appliance.simulator.model.replies import Reply
from appliance.simulator.options import SimulatorOptions
from appliance.units import UPLINK, Pcm
from tests.support.simulator import said

PACKAGE = Path(appliance.__file__).parent


@pytest.fixture
def scene() -> Callable[[str], Pcm]:
    """Reads a shipped scene."""

    def read(name: str) -> Pcm:
        with wave.open(str(PACKAGE / "demo" / "recordings" / f"{name}.wav")) as file:
            assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (UPLINK.rate_hz, 1, 2)
            return np.frombuffer(file.readframes(file.getnframes()), dtype="<i2")

    return read


@pytest.fixture
def options(tmp_path: Path) -> SimulatorOptions:
    """A quick service with two short replies."""
    replies = (
        Reply(said(0.1), text="one two three", question="what is it"),
        Reply(said(0.05, seed=5), text="four"),
    )
    return SimulatorOptions(directory=tmp_path, speed=50, replies=replies)
