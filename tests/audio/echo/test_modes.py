"""The setting `aec`, resolved on a machine."""

import pytest

from appliance.audio.echo.modes import Aec


@pytest.mark.parametrize(
    ("wanted", "missing", "resolved"),
    [
        (Aec.AUTO, [], Aec.WEBRTC),
        (Aec.AUTO, [Aec.WEBRTC], Aec.SPEEX),
        (Aec.AUTO, [Aec.WEBRTC, Aec.SPEEX], Aec.HALF_DUPLEX),
        (Aec.WEBRTC, [Aec.WEBRTC], Aec.HALF_DUPLEX),
        (Aec.SPEEX, [Aec.WEBRTC], Aec.SPEEX),
        (Aec.OFF, [Aec.WEBRTC, Aec.SPEEX], Aec.OFF),
    ],
)
def test_what_is_missing_is_done_without(wanted: Aec, missing: list[Aec], resolved: Aec):
    assert wanted.resolved(missing) is resolved


def test_the_best_that_is_installed_is_found():
    assert Aec.WEBRTC.is_available  # it is one of the extra's packages
    assert Aec.AUTO.resolved() is Aec.WEBRTC
