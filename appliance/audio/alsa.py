"""Asks ALSA whether a PCM can be opened now. The only caller of libasound.

PortAudio cannot be asked: its list is as old as its initialisation, and its errors do not tell a card that is absent
from one that is busy.
"""

import ctypes
import errno
import os
from enum import Enum
from functools import cache
from typing import Final

from appliance.audio.devices import Direction
from appliance.errors import DeviceError

_CAPTURE: Final = 1
_PLAYBACK: Final = 0
_NONBLOCK: Final = 1
_SILENT: Final = ctypes.CFUNCTYPE(None)(lambda: None)
"""Kept for as long as the library may call it."""


class Presence(Enum):
    """Whether a PCM can be opened."""

    PRESENT = "present"
    ABSENT = "absent"
    """There is no such card, or no such PCM."""
    BUSY = "busy"
    """Another program has it."""
    DENIED = "denied"
    """This user may not."""
    BROKEN = "broken"
    """It cannot be opened for another reason."""


_BY_ERRNO: Final = {
    errno.ENOENT: Presence.ABSENT,
    errno.ENODEV: Presence.ABSENT,
    errno.ENXIO: Presence.ABSENT,
    errno.EBUSY: Presence.BUSY,
    errno.EAGAIN: Presence.BUSY,
    errno.EACCES: Presence.DENIED,
    errno.EPERM: Presence.DENIED,
}


def probe(pcm: str, direction: Direction) -> Presence:
    """Open a PCM, without waiting for it, and close it again; takes some milliseconds.

    Raises:
        DeviceError: libasound is not installed.
    """
    alsa, handle = _library(), ctypes.c_void_p()
    # What was read of asound.conf before may be out of date.
    alsa.snd_config_update_free_global()
    stream = _CAPTURE if direction is Direction.INPUT else _PLAYBACK
    code = alsa.snd_pcm_open(ctypes.byref(handle), os.fsencode(pcm), stream, _NONBLOCK)
    if code < 0:
        return _BY_ERRNO.get(-code, Presence.BROKEN)
    alsa.snd_pcm_close(handle)
    return Presence.PRESENT


@cache
def _library() -> ctypes.CDLL:
    try:
        alsa = ctypes.CDLL("libasound.so.2")
    except OSError as error:
        raise DeviceError("ALSA is not installed: sudo apt install libasound2 libportaudio2") from error
    # It would write to stderr what its answer says.
    alsa.snd_lib_error_set_handler(_SILENT)
    return alsa
