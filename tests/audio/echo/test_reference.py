"""The playback reference, read at the microphone's rate."""

import numpy as np
import pytest

from appliance.audio.echo.canceller import BLOCK
from appliance.audio.echo.reference import PlayedReference
from appliance.units import AudioFormat, Hz


def tone(positions: np.ndarray, rate_hz: int, hz: int) -> np.ndarray:
    return 0.5 * np.sin(2 * np.pi * hz * positions / rate_hz)


@pytest.mark.parametrize("rate_hz", [16_000, 24_000, 44_100, 48_000])
@pytest.mark.parametrize("hz", [300, 1_000, 3_000])
@pytest.mark.parametrize("ppm", [0.0, -200.0])
def test_a_tone_is_the_same_tone_at_any_place(rate_hz: int, hz: int, ppm: float):
    reference = PlayedReference(AudioFormat(Hz(rate_hz)), capacity_s=1.0)
    reference.played(tone(np.arange(rate_hz), rate_hz, hz).astype(np.float32))
    positions = 1_000.37 + np.arange(BLOCK) * rate_hz / 16_000 * (1 + ppm * 1e-6)
    wanted = tone(positions, rate_hz, hz)
    assert np.max(np.abs(reference.read(1_000.37, ppm) - wanted)) < 0.005


def test_what_is_not_played_yet_or_no_longer_kept_is_silence():
    reference = PlayedReference(AudioFormat(Hz(16_000)), capacity_s=0.1)
    reference.played(np.ones(4_000, np.float32))
    assert reference.end == 4_000
    assert not reference.read(4_100).any()
    assert not reference.read(2_000).any()
    assert reference.read(3_000) == pytest.approx(np.ones(BLOCK), abs=1e-3)
    assert not reference.read(-500).any()
