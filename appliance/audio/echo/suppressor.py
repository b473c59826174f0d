"""Port of the echo suppressors: what the linear canceller leaves over, taken away with losses to speech."""

from typing import Protocol

from appliance.audio.echo.modes import Aec
from appliance.audio.echo.speex import SpeexSuppressor
from appliance.audio.echo.webrtc import WebrtcSuppressor
from appliance.units import Pcm


class Suppressor(Protocol):
    """Takes whole blocks of 10 ms, 16 kHz mono; one thread."""

    @property
    def delay(self) -> int:
        """Samples by which the result is later than what it was made of."""

    def process(self, linear: Pcm, reference: Pcm) -> Pcm:
        """Return the speech in ``linear`` without the rest of the echo of ``reference``, aligned with it."""


def load(aec: Aec) -> Suppressor | None:
    """Return the suppressor of a resolved setting; None for one that has none.

    Raises:
        DeviceError: It is not installed.
    """
    match aec:
        case Aec.WEBRTC:
            return WebrtcSuppressor()
        case Aec.SPEEX:
            return SpeexSuppressor()
        case _:
            return None
