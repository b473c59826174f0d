"""The residual echo suppressor of Speex, from the system's libspeexdsp.

It has no wheel to come with; `ctypes` needs no compiler on the device. Source of the numbers: speex/speex_preprocess.h
of libspeexdsp 1.2.1. Its own canceller runs in front, because the suppressor takes its estimate of the rest from there.
"""

import ctypes
from typing import Final

import numpy as np

from appliance.audio.echo.canceller import BLOCK
from appliance.audio.echo.modes import SPEEX_LIBRARY
from appliance.errors import DeviceError
from appliance.units import UPLINK, Pcm

_TAIL: Final = UPLINK.frames(0.2)
_SET_ECHO_STATE: Final = 24
_ECHO_SET_SAMPLING_RATE: Final = 24


class SpeexSuppressor:
    """Implements `suppressor.Suppressor`."""

    delay: Final = 160
    """Measured by cross-correlation."""

    def __init__(self) -> None:
        try:
            library = ctypes.CDLL(SPEEX_LIBRARY)
        except OSError as error:
            raise DeviceError("libspeexdsp is not installed: sudo apt install libspeexdsp1") from error
        library.speex_echo_state_init.restype = library.speex_preprocess_state_init.restype = ctypes.c_void_p
        self._library = library
        self._echo = ctypes.c_void_p(library.speex_echo_state_init(BLOCK, _TAIL))
        self._suppressor = ctypes.c_void_p(library.speex_preprocess_state_init(BLOCK, UPLINK.rate_hz))
        rate = ctypes.c_int(UPLINK.rate_hz)
        library.speex_echo_ctl(self._echo, _ECHO_SET_SAMPLING_RATE, ctypes.byref(rate))
        library.speex_preprocess_ctl(self._suppressor, _SET_ECHO_STATE, self._echo)

    def process(self, linear: Pcm, reference: Pcm) -> Pcm:
        """See `suppressor.Suppressor`."""
        heard, played = np.ascontiguousarray(linear, np.int16), np.ascontiguousarray(reference, np.int16)
        clean: Pcm = np.empty(len(heard), np.int16)
        for at in range(0, 2 * len(heard), 2 * BLOCK):
            heard_at, played_at, clean_at = (ctypes.c_void_p(one.ctypes.data + at) for one in (heard, played, clean))
            self._library.speex_echo_cancellation(self._echo, heard_at, played_at, clean_at)
            self._library.speex_preprocess_run(self._suppressor, clean_at)
        return clean
