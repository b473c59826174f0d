"""Levels agree with the arithmetic of textbooks."""

import numpy as np
import pytest

from appliance.audio.level import DIGITAL_SILENCE, Level, measure
from appliance.units import Pcm


def sine(amplitude: float, hz: float = 437.0, seconds: float = 1.0) -> Pcm:
    t = np.arange(round(16_000 * seconds)) / 16_000
    return np.round(amplitude * 32767 * np.sin(2 * np.pi * hz * t)).astype(np.int16)


@pytest.mark.parametrize(("amplitude", "rms", "peak"), [(1.0, -3.01, 0.0), (0.1, -23.01, -20.0), (0.01, -43.01, -40.0)])
def test_a_sine_has_the_level_of_the_textbook(amplitude: float, rms: float, peak: float):
    level = measure(sine(amplitude))
    assert level.rms == pytest.approx(rms, abs=0.02)
    assert level.peak == pytest.approx(peak, abs=0.05)
    assert not level.silent


def test_the_most_negative_sample_is_full_scale():
    level = measure(np.array([-32768, 0], dtype=np.int16))
    assert level.peak == 0.0
    assert level.clipped == 0.5


def test_zeros_are_digital_silence_and_one_long_run():
    level = measure(np.zeros(800, dtype=np.int16))
    assert level == Level(rms=DIGITAL_SILENCE, peak=DIGITAL_SILENCE, clipped=0.0, dc=0.0, stuck=800)
    assert level.silent


def test_no_samples_are_silent_too():
    assert measure(np.zeros(0, dtype=np.int16)).silent


def test_a_dead_input_with_an_offset_is_silent_and_its_offset_is_measured():
    level = measure(np.full(800, 3277, dtype=np.int16))
    assert level.silent
    assert level.dc == pytest.approx(0.1, abs=0.001)
    assert level.peak == pytest.approx(-20.0, abs=0.01)


def test_the_dither_of_a_muted_input_is_silent_and_the_noise_of_an_open_one_is_not():
    rng = np.random.default_rng(1)
    assert measure(rng.integers(-1, 2, 16_000).astype(np.int16)).silent
    assert not measure(np.round(rng.normal(0, 33, 16_000)).astype(np.int16)).silent  # -60 dBFS


def test_clipping_is_a_fraction_of_the_samples():
    samples = np.zeros(1000, dtype=np.int16)
    samples[:30], samples[30:50] = 32767, -32700
    assert measure(samples).clipped == pytest.approx(0.05)


@pytest.mark.parametrize(
    ("samples", "longest"),
    [([5], 1), ([1, 2, 3], 1), ([1, 1, 2, 2, 2, 3], 3), ([7, 7, 1], 2), ([1, 7, 7], 2), ([-32768, 32767, -32768], 1)],
)
def test_the_longest_run_of_identical_samples_is_found(samples: list[int], longest: int):
    assert measure(np.array(samples, dtype=np.int16)).stuck == longest
