"""Asks ALSA whether a PCM can be opened now, and what it takes. The only caller of libasound.

PortAudio cannot be asked: its list is as old as its initialisation, and its errors do not tell a card that is absent
from one that is busy.
"""

import ctypes
import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from functools import cache
from typing import Final

from appliance.audio.cards.devices import Direction
from appliance.audio.cards.hardware import FASTEST_HZ, FORMATS, SLOWEST_HZ, STANDARD_RATES, Hardware
from appliance.errors import DeviceError

_CAPTURE: Final = 1
_PLAYBACK: Final = 0
_NONBLOCK: Final = 1
_SILENT: Final = ctypes.CFUNCTYPE(None)(lambda: None)
"""Kept for as long as the library may call it."""
_HANDLER: Final = ctypes.CFUNCTYPE(
    None, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p
)
"""snd_local_error_handler_t; its last argument is a va_list, which 64-bit Linux passes as a pointer."""
_LONGEST: Final = 300
"""Bytes of a complaint."""
_TOLD: Final = 2
"""Complaints that are told: of a file with a mistake, the first has the line, the second has its name."""
_PATH: Final = "ALSA_CONFIG_PATH"


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


@dataclass(frozen=True, slots=True)
class Probed:
    """Result of opening a PCM."""

    presence: Presence
    hardware: Hardware | None = None
    """Formats, rates and channels it takes; None where it cannot be opened."""
    complaint: str = ""
    """ALSA's own words of why it cannot be opened, the first of them; empty where it has none."""


def probe(pcm: str, direction: Direction) -> Probed:
    """Open a PCM, without waiting for it, and close it again; takes some milliseconds.

    Raises:
        DeviceError: libasound is not installed.
    """
    alsa, handle = _library(), ctypes.c_void_p()
    # What was read of asound.conf before may be out of date.
    alsa.snd_config_update_free_global()
    stream = _CAPTURE if direction is Direction.INPUT else _PLAYBACK
    with _complaints(alsa) as complaints:
        code = alsa.snd_pcm_open(ctypes.byref(handle), os.fsencode(pcm), stream, _NONBLOCK)
    if code < 0:
        presence = _BY_ERRNO.get(-code, Presence.BROKEN)
        if code == -errno.ENXIO and complaints:  # a plug-in that is not there, not a card
            presence = Presence.BROKEN
        return Probed(presence, complaint="; ".join(complaints[:_TOLD]))
    try:
        return Probed(Presence.PRESENT, _hardware(alsa, handle))
    finally:
        alsa.snd_pcm_close(handle)


def define(definitions: str) -> None:
    """Add definitions, as in asound.conf, for this process alone, which must have no other thread that uses ALSA.

    Raises:
        DeviceError: libasound is not installed.
    """
    alsa = _library()
    alsa.snd_config_topdir.restype = ctypes.c_char_p
    usual = os.environ.get(_PATH) or f"{os.fsdecode(alsa.snd_config_topdir())}/alsa.conf"
    # A file that nobody else sees, and that is gone with the process.
    memory = os.memfd_create("asound.conf")
    os.write(memory, definitions.encode())
    os.environ[_PATH] = f"{usual}:/proc/self/fd/{memory}"
    alsa.snd_config_update_free_global()


def _hardware(alsa: ctypes.CDLL, pcm: ctypes.c_void_p) -> Hardware:
    """Return what an open PCM takes."""
    parameters = ctypes.c_void_p()
    alsa.snd_pcm_hw_params_malloc(ctypes.byref(parameters))
    try:
        alsa.snd_pcm_hw_params_any(pcm, parameters)
        formats = [
            name for name, code in FORMATS.items() if not alsa.snd_pcm_hw_params_test_format(pcm, parameters, code)
        ]
        slowest = _number(alsa.snd_pcm_hw_params_get_rate_min, parameters, None)  # may be no usual one
        channels = {}
        for rate_hz in {*STANDARD_RATES, max(slowest, SLOWEST_HZ)}:
            alsa.snd_pcm_hw_params_any(pcm, parameters)
            if rate_hz <= FASTEST_HZ and not alsa.snd_pcm_hw_params_set_rate(pcm, parameters, rate_hz, 0):
                fewest = _number(alsa.snd_pcm_hw_params_get_channels_min, parameters)
                channels[rate_hz] = (fewest, _number(alsa.snd_pcm_hw_params_get_channels_max, parameters))
        return Hardware(channels, frozenset(formats))
    finally:
        alsa.snd_pcm_hw_params_free(parameters)


def _number(ask: Callable[..., int], parameters: ctypes.c_void_p, *more: object) -> int:
    """Return what libasound puts into an unsigned int."""
    number = ctypes.c_uint()
    ask(parameters, ctypes.byref(number), *more)
    return number.value


@contextmanager
def _complaints(alsa: ctypes.CDLL) -> Iterator[list[str]]:
    """Collect what libasound complains of on this thread; it would write that to stderr."""
    found: list[str] = []
    if not hasattr(alsa, "snd_lib_error_set_local"):  # as its makers may replace it: then nothing is told
        yield found
        return

    def take(_file: bytes, _line: int, _function: bytes, _code: int, form: bytes, values: int) -> None:
        text = ctypes.create_string_buffer(_LONGEST)
        _libc().vsnprintf(text, ctypes.c_size_t(_LONGEST), form, ctypes.c_void_p(values))
        found.append(" ".join(text.value.decode(errors="replace").split()))

    handler = _HANDLER(take)
    alsa.snd_lib_error_set_handler(None)  # the library's own, which asks for one of this thread
    alsa.snd_lib_error_set_local(handler)
    try:
        yield found
    finally:
        alsa.snd_lib_error_set_local(None)
        alsa.snd_lib_error_set_handler(_SILENT)


@cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None)


@cache
def _library() -> ctypes.CDLL:
    try:
        alsa = ctypes.CDLL("libasound.so.2")
    except OSError as error:
        raise DeviceError("ALSA is not installed: sudo apt install libasound2 libportaudio2") from error
    # It would write to stderr what its answer says.
    alsa.snd_lib_error_set_handler(_SILENT)
    return alsa
