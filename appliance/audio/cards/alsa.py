"""Asks ALSA whether a PCM can be opened and which formats it takes; defines converters. The only caller of libasound.

PortAudio cannot be asked: its list is as old as its initialisation, and its errors do not distinguish an absent card
from a busy one. It also opens cards as ``hw:``, which converts nothing: a Raspberry Pi's HDMI takes only the frames of
a digital wire, some I2S cards only 24 bits in four bytes; and it does not list PCMs whose names take arguments, such as
``hdmi:CARD=vc4hdmi0``. For those a converter is defined in this process, before PortAudio is initialised: it lists what
is defined then.
"""

import ctypes
import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from enum import Enum
from functools import cache
from typing import Final

from appliance.audio.cards.devices import Direction, PcmDevice
from appliance.audio.cards.hardware import DIGITAL, DIRECT, FASTEST_HZ, FORMATS, SLOWEST_HZ, STANDARD_RATES, Hardware
from appliance.errors import DeviceError
from appliance.units import AudioFormat

_CAPTURE: Final = 1
_PLAYBACK: Final = 0
_NONBLOCK: Final = 1
_SILENT: Final = ctypes.CFUNCTYPE(None)(lambda: None)
"""Kept for as long as the library may call it."""
_HANDLER: Final = ctypes.CFUNCTYPE(
    None, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p
)
"""snd_local_error_handler_t; its last argument is a va_list, which 64-bit Linux passes as a pointer."""
_MAX_ERROR_BYTES: Final = 300
_REPORTED_ERRORS: Final = 2
"""Errors that are reported: for a mistake in a file, the first has the line, the second the file's name."""
_PATH: Final = "ALSA_CONFIG_PATH"
_STATUS: Final = "0x04 0x82 0x00 0x01"
"""Channel status: consumer, PCM, no copyright, rate as it is. Source: alsa-lib, ``cards/vc4-hdmi.conf``."""


class Availability(Enum):
    """Whether a PCM can be opened."""

    AVAILABLE = "available"
    ABSENT = "absent"
    """There is no such card, or no such PCM."""
    BUSY = "busy"
    """Another program uses it."""
    DENIED = "denied"
    """This user may not open it."""
    BROKEN = "broken"
    """It cannot be opened for another reason."""


_BY_ERRNO: Final = {
    errno.ENOENT: Availability.ABSENT,
    errno.ENODEV: Availability.ABSENT,
    errno.ENXIO: Availability.ABSENT,
    errno.EBUSY: Availability.BUSY,
    errno.EAGAIN: Availability.BUSY,
    errno.EACCES: Availability.DENIED,
    errno.EPERM: Availability.DENIED,
}


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """Result of opening a PCM."""

    availability: Availability
    hardware: Hardware | None = None
    """Formats, rates and channels it takes; None where it cannot be opened."""
    error: str = ""
    """ALSA's own message of why it cannot be opened; empty where it has none."""


def probe(pcm: str, direction: Direction) -> ProbeResult:
    """Open a PCM, without waiting for it, and close it again; takes some milliseconds.

    Raises:
        DeviceError: libasound is not installed.
    """
    alsa, handle = _library(), ctypes.c_void_p()
    # The cached asound.conf may be out of date.
    alsa.snd_config_update_free_global()
    stream = _CAPTURE if direction is Direction.INPUT else _PLAYBACK
    with _collected_errors(alsa) as errors:
        code = alsa.snd_pcm_open(ctypes.byref(handle), os.fsencode(pcm), stream, _NONBLOCK)
    if code < 0:
        availability = _BY_ERRNO.get(-code, Availability.BROKEN)
        if code == -errno.ENXIO and errors:  # a plug-in is missing, not a card
            availability = Availability.BROKEN
        return ProbeResult(availability, error="; ".join(errors[:_REPORTED_ERRORS]))
    try:
        return ProbeResult(Availability.AVAILABLE, _hardware(alsa, handle))
    finally:
        alsa.snd_pcm_close(handle)


def converted(device: PcmDevice, hardware: Hardware, direction: Direction, layout: AudioFormat) -> PcmDevice:
    """Return the PCM to open for a card in this layout: the card itself, or a converter that is defined for it.

    Raises:
        DeviceError: libasound is not installed.
    """
    needed = definition(device, hardware, layout)
    if needed is None:
        return device
    name = f"appliance_{direction.noun}"
    _define(f"pcm.{name} {{ {needed} }}\n")
    return replace(device, pcm=name, portaudio=name)


def definition(device: PcmDevice, hardware: Hardware, layout: AudioFormat) -> str | None:
    """Return the definition of a converter, as in asound.conf; None where PortAudio needs none."""
    pcm = device.pcm.replace("\\", r"\\").replace('"', r"\"")
    if hardware.formats & DIRECT:
        if device.is_listed:
            return None
    elif DIGITAL in hardware.formats:
        return f'type iec958 slave {{ pcm "{pcm}" format {DIGITAL} }} hdmi_mode true status [ {_STATUS} ]'
    # With rate and channels: PortAudio does not list a plug without them.
    return f'type plug slave {{ pcm "{pcm}" rate {layout.rate_hz} channels {layout.channels} }}'


def _define(definitions: str) -> None:
    """Add definitions, as in asound.conf, for this process alone, which must have no other thread that uses ALSA."""
    alsa = _library()
    alsa.snd_config_topdir.restype = ctypes.c_char_p
    usual = os.environ.get(_PATH) or f"{os.fsdecode(alsa.snd_config_topdir())}/alsa.conf"
    # A file that only this process sees, and that ends with it.
    memory = os.memfd_create("asound.conf")
    os.write(memory, definitions.encode())
    os.environ[_PATH] = f"{usual}:/proc/self/fd/{memory}"
    alsa.snd_config_update_free_global()


def _hardware(alsa: ctypes.CDLL, pcm: ctypes.c_void_p) -> Hardware:
    """Return the formats, rates and channels that an open PCM takes."""
    parameters = ctypes.c_void_p()
    alsa.snd_pcm_hw_params_malloc(ctypes.byref(parameters))
    try:
        alsa.snd_pcm_hw_params_any(pcm, parameters)
        formats = [
            name for name, code in FORMATS.items() if not alsa.snd_pcm_hw_params_test_format(pcm, parameters, code)
        ]
        slowest = _number(alsa.snd_pcm_hw_params_get_rate_min, parameters, None)  # may not be a standard one
        channels = {}
        for rate_hz in {*STANDARD_RATES, max(slowest, SLOWEST_HZ)}:
            alsa.snd_pcm_hw_params_any(pcm, parameters)
            if rate_hz <= FASTEST_HZ and not alsa.snd_pcm_hw_params_set_rate(pcm, parameters, rate_hz, 0):
                fewest = _number(alsa.snd_pcm_hw_params_get_channels_min, parameters)
                channels[rate_hz] = (fewest, _number(alsa.snd_pcm_hw_params_get_channels_max, parameters))
        return Hardware(channels, frozenset(formats))
    finally:
        alsa.snd_pcm_hw_params_free(parameters)


def _number(getter: Callable[..., int], parameters: ctypes.c_void_p, *more: object) -> int:
    """Return the unsigned int that a getter of libasound writes."""
    number = ctypes.c_uint()
    getter(parameters, ctypes.byref(number), *more)
    return number.value


@contextmanager
def _collected_errors(alsa: ctypes.CDLL) -> Iterator[list[str]]:
    """Collect the errors that libasound reports on this thread, instead of letting it write them to stderr."""
    errors: list[str] = []
    if not hasattr(alsa, "snd_lib_error_set_local"):  # an internal function, which a later version may lack
        yield errors
        return

    def take(_file: bytes, _line: int, _function: bytes, _code: int, form: bytes, values: int) -> None:
        text = ctypes.create_string_buffer(_MAX_ERROR_BYTES)
        _libc().vsnprintf(text, ctypes.c_size_t(_MAX_ERROR_BYTES), form, ctypes.c_void_p(values))
        errors.append(" ".join(text.value.decode(errors="replace").split()))

    handler = _HANDLER(take)
    alsa.snd_lib_error_set_handler(None)  # its default one, which calls the thread's own
    alsa.snd_lib_error_set_local(handler)
    try:
        yield errors
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
    # Otherwise it writes to stderr what its return value says.
    alsa.snd_lib_error_set_handler(_SILENT)
    return alsa
