"""Conversion keeps lengths, tones and levels, however the stream is cut."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.audio.resample import Quality, Resampler
from appliance.units import AudioFormat, Hz, Pcm
from tests.audio.tones import tone


def converted(resampler: Resampler, frames: Pcm, piece: int) -> Pcm:
    pieces = [resampler.feed(frames[at : at + piece]) for at in range(0, len(frames), piece)]
    return np.concatenate([*pieces, resampler.finish()])


@settings(deadline=None, max_examples=40)
@given(
    st.sampled_from([4_000, 8_000, 11_025, 22_050, 24_000, 44_100, 48_000, 96_000]),
    st.sampled_from([16_000, 24_000, 48_000]),
    st.integers(1, 3_000),
    st.integers(1, 20_000),
    st.sampled_from(Quality),
)
def test_lengths_are_exact(source, target, piece, frames, quality):
    resampler = Resampler(AudioFormat(Hz(source)), Hz(target), quality)
    result = converted(resampler, np.zeros(frames, np.int16), piece)
    assert abs(len(result) - frames * target / source) <= 0.5
    assert result.dtype == np.int16


@pytest.mark.parametrize("quality", Quality)
@pytest.mark.parametrize(("source", "target"), [(48_000, 16_000), (44_100, 16_000), (24_000, 48_000), (8_000, 16_000)])
def test_a_tone_stays_the_same_tone_in_time(source, target, quality):
    result = converted(Resampler(AudioFormat(Hz(source)), Hz(target), quality), tone(source, 0.5), source // 50)
    difference = (result.astype(int) - tone(target, 0.5))[target // 20 : -target // 20]
    assert np.sqrt(np.mean(np.square(difference))) < 10  # -57 dB of the tone


def test_the_sizes_of_pieces_do_not_matter():
    frames = tone(44_100, 0.3)
    layout = AudioFormat(Hz(44_100))
    results = [converted(Resampler(layout, Hz(16_000)), frames, piece) for piece in (1, 333, 882, 100_000)]
    for other in results[1:]:
        assert np.abs(other.astype(int) - results[0]).max() <= 3  # soxr dithers when it rounds


def test_equal_rates_pass_through():
    frames = tone(16_000, 0.1)
    resampler = Resampler(AudioFormat(Hz(16_000)), Hz(16_000))
    assert np.array_equal(converted(resampler, frames, 320), frames)


@pytest.mark.parametrize("level", [32_767, -32_768])
@pytest.mark.parametrize("channels", [2, 8])
def test_mixing_down_is_the_mean_and_cannot_overflow(channels, level):
    resampler = Resampler(AudioFormat(Hz(16_000), channels), Hz(16_000))
    assert np.array_equal(resampler.feed(np.full((50, channels), level, np.int16)), np.full(50, level))
    opposite = np.tile(np.array([1_000, -600], np.int16), (50, channels // 2))
    assert np.array_equal(resampler.feed(opposite), np.full(50, 200))
