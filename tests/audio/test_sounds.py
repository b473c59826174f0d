"""Earcons are short, soft and different from each other."""

import itertools

import numpy as np
import pytest

from appliance.audio.sounds import make_earcon
from appliance.core.effects import Earcon

PEAK = 32767 * 10 ** (-12 / 20)


@pytest.mark.parametrize("kind", Earcon)
def test_an_earcon_is_short_soft_and_without_clicks(kind):
    sound = make_earcon(kind)
    assert sound.dtype == np.int16
    assert 0.1 < len(sound) / 24_000 < 0.5
    assert np.abs(sound).max() == pytest.approx(PEAK, abs=2)
    assert abs(int(sound[0])) < 10
    assert abs(int(sound[-1])) < 10
    assert np.abs(np.diff(sound.astype(int))).max() < PEAK / 3


def test_earcons_differ():
    spectra = [np.abs(np.fft.rfft(make_earcon(kind), 16_384)) for kind in Earcon]
    for one, other in itertools.combinations(spectra, 2):
        likeness = np.dot(one, other) / (np.linalg.norm(one) * np.linalg.norm(other))
        assert likeness < 0.7


def test_an_earcon_is_made_once_and_cannot_be_changed():
    assert make_earcon(Earcon.WAKE) is make_earcon(Earcon.WAKE)
    with pytest.raises(ValueError, match="read-only"):
        make_earcon(Earcon.WAKE)[0] = 1
