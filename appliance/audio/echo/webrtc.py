"""The echo canceller (AEC3) and noise suppressor of WebRTC: the only importer of pywebrtc-audio."""

from typing import Final

from appliance.errors import DeviceError
from appliance.units import UPLINK, Pcm

_NOISE_SUPPRESSION: Final = 1
"""Moderate; 0 to 3."""


class WebrtcSuppressor:
    """Implements `suppressor.Suppressor`."""

    delay: Final = 224
    """Measured by cross-correlation: 8 ms of the canceller and 6 ms of the noise suppressor."""

    def __init__(self) -> None:
        try:
            from pywebrtc_audio import AudioProcessor  # noqa: PLC0415  it is not on every machine
        except ImportError as error:
            raise DeviceError("pywebrtc-audio is not installed: pip install 'voice-appliance[device]'") from error
        self._processor = AudioProcessor(
            UPLINK.rate_hz,
            UPLINK.channels,
            echo_cancellation=True,
            noise_suppression=True,
            ns_level=_NOISE_SUPPRESSION,
            auto_gain_control=False,  # it makes the echo louder as well
        )

    def process(self, linear: Pcm, reference: Pcm) -> Pcm:
        """See `suppressor.Suppressor`."""
        clean: Pcm = self._processor.process(linear, reference)
        return clean
