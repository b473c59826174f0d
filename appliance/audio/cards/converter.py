"""A PCM of ALSA before one that PortAudio cannot open: before the card that is meant, and no other.

PortAudio opens cards as ``hw:``, which converts nothing. A Raspberry Pi's HDMI takes only the frames of a digital wire,
some I2S cards only 24 bits in four bytes; and PCMs whose names take arguments, such as ``hdmi:CARD=vc4hdmi0``, it does
not list. The converter is defined for this process, before PortAudio is initialised: it lists what is defined then.
"""

from dataclasses import replace
from typing import Final

from appliance.audio.cards.alsa import define
from appliance.audio.cards.devices import Direction, Target
from appliance.audio.cards.hardware import DIGITAL, DIRECT, Hardware
from appliance.units import AudioFormat

_STATUS: Final = "0x04 0x82 0x00 0x01"
"""Channel status: consumer, PCM, no copyright, rate as it is. Source: alsa-lib, ``cards/vc4-hdmi.conf``."""


def converted(target: Target, hardware: Hardware, direction: Direction, layout: AudioFormat) -> Target:
    """Return the PCM to open for a card in this layout: the card itself, or a converter that is defined for it.

    Raises:
        DeviceError: libasound is not installed.
    """
    needed = definition(target, hardware, layout)
    if needed is None:
        return target
    name = f"appliance_{direction.noun}"
    define(f"pcm.{name} {{ {needed} }}\n")
    return replace(target, pcm=name, portaudio=name)


def definition(target: Target, hardware: Hardware, layout: AudioFormat) -> str | None:
    """Return the definition of a converter, as in asound.conf; None where PortAudio needs none."""
    pcm = target.pcm.replace("\\", r"\\").replace('"', r"\"")
    if hardware.formats & DIRECT:
        if target.is_listed:
            return None
    elif DIGITAL in hardware.formats:
        return f'type iec958 slave {{ pcm "{pcm}" format {DIGITAL} }} hdmi_mode true status [ {_STATUS} ]'
    # With rate and channels: PortAudio does not list a plug without them.
    return f'type plug slave {{ pcm "{pcm}" rate {layout.rate_hz} channels {layout.channels} }}'
