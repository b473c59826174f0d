"""The suppressors: what they hold back of a sound is what they say."""

import numpy as np
import pytest

from appliance.audio.echo.canceller import BLOCK
from appliance.audio.echo.modes import Aec
from appliance.audio.echo.suppressor import load


@pytest.mark.parametrize("aec", [Aec.WEBRTC, Aec.SPEEX])
def test_the_delay_is_what_cross_correlation_finds(aec: Aec):
    if not aec.is_available:
        pytest.skip("not installed")
    suppressor = load(aec)
    assert suppressor is not None
    rng = np.random.default_rng(0)
    speech = (rng.standard_normal(80_000) * 2_000 * (1 + np.sin(np.arange(80_000) / 1_500))).astype(np.int16)
    silence = np.zeros(BLOCK, np.int16)
    clean = np.concatenate([suppressor.process(piece, silence) for piece in speech.reshape(-1, BLOCK)])
    before, after = (np.fft.rfft(samples[16_000:].astype(np.float64), 1 << 18) for samples in (speech, clean))
    assert int(np.argmax(np.fft.irfft(after * before.conj()))) == suppressor.delay


@pytest.mark.parametrize("aec", [Aec.HALF_DUPLEX, Aec.OFF])
def test_other_modes_have_none(aec: Aec):
    assert load(aec) is None
