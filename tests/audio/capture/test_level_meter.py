"""The meter: the newest second, the noise below it, and what to do."""

import numpy as np
import pytest

from appliance.audio.capture.level_meter import LevelMeter
from tests.audio.tones import tone

RATE = 16_000


def noise(seconds: float, amplitude: int) -> np.ndarray:
    return np.random.default_rng(1).normal(0, amplitude, int(RATE * seconds)).astype(np.int16)


def test_the_level_is_of_the_newest_second_and_the_floor_of_the_pauses():
    meter = LevelMeter()
    for piece in np.array_split(noise(3, 30), 97):
        meter.feed(piece)
    meter.feed(noise(1, 3_000))
    reading = meter.reading
    assert reading.level.rms == pytest.approx(-20.8, abs=0.5)
    assert reading.floor == pytest.approx(-60.8, abs=1)
    assert reading.advice == ""


@pytest.mark.parametrize(
    ("samples", "advice"),
    [
        (np.zeros(RATE, np.int16), "exact silence"),
        (noise(1, 2), "nearly silent"),
        (np.clip(tone(RATE, 1.0, 440).astype(int) * 8, -32768, 32767).astype(np.int16), "too loud"),
        (noise(1, 500) + np.int16(4_000), "shifted from zero"),
        (noise(1, 1_500), "a loud background"),
    ],
)
def test_the_advice_fits_the_signal(samples, advice):
    meter = LevelMeter()
    meter.feed(samples)
    assert meter.reading.advice.startswith(advice)


def test_before_the_first_sample_there_is_silence():
    assert LevelMeter().reading.level.silent


def test_the_loudest_and_the_clipped_are_remembered():
    meter = LevelMeter()
    meter.feed(np.full(RATE, 32_767, np.int16))
    meter.feed(np.zeros(RATE * 20, np.int16))
    assert meter.loudest > -0.1
    assert meter.clipped == RATE
