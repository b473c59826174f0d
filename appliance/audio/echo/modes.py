"""Ways to take away the echo of replies, and which of them this machine has."""

import ctypes
from collections.abc import Iterable
from enum import Enum
from importlib.util import find_spec
from typing import Final

SPEEX_LIBRARY: Final = "libspeexdsp.so.1"


class Aec(Enum):
    """Means of taking the echo of replies out of the microphone's samples; the setting `aec`."""

    AUTO = "auto"
    """The first of the next three that this machine has."""
    WEBRTC = "webrtc"
    """Linear canceller, then AEC3 of WebRTC: one can speak over a reply."""
    SPEEX = "speex"
    """Linear canceller, then the residual suppressor of Speex: it lets some of the echo through."""
    HALF_DUPLEX = "half-duplex"
    """Nothing is taken away: the microphone is not sent over a reply."""
    OFF = "off"
    """Nothing is taken away, because the hardware has done it."""

    def resolved(self, missing: Iterable["Aec"] | None = None) -> "Aec":
        """Return what this machine does: never `AUTO`, and `HALF_DUPLEX` in place of what it does not have.

        ``missing`` is what it does not have; None: found out here, without importing anything.
        """
        absent = {aec for aec in (Aec.WEBRTC, Aec.SPEEX) if not aec.is_available} if missing is None else {*missing}
        if self is Aec.AUTO:
            return next(aec for aec in (Aec.WEBRTC, Aec.SPEEX, Aec.HALF_DUPLEX) if aec not in absent)
        return Aec.HALF_DUPLEX if self in absent else self

    @property
    def is_available(self) -> bool:
        """Whether this machine has what it takes; true for those that take nothing."""
        if self is Aec.WEBRTC:
            return find_spec("pywebrtc_audio") is not None
        if self is Aec.SPEEX:
            try:
                ctypes.CDLL(SPEEX_LIBRARY)
            except OSError:
                return False
        return True
