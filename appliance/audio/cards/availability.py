"""Looks up whether a card can be opened now, explains why not, and finds the program that uses it."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from appliance.audio.cards.alsa import Availability, ProbeResult, probe
from appliance.audio.cards.devices import Card, Direction, PcmDevice, cards, resolve
from appliance.audio.cards.hardware import Hardware
from appliance.errors import DeviceError

_OWNER: Final = re.compile(r"^owner_pid\s*:\s*(\d+)", re.MULTILINE)
_KINDS: Final = {Direction.INPUT: "c", Direction.OUTPUT: "p"}


@dataclass(frozen=True, slots=True)
class CardLookup:
    """Result of looking for a card."""

    device: PcmDevice | None
    """None where the name matches none, or more than one."""
    availability: Availability
    text: str
    """One line that says what to do; empty where it can be opened."""
    hardware: Hardware | None = None
    """Formats, rates and channels it takes; None where it cannot be opened."""


def look_up(wanted: str, direction: Direction) -> CardLookup:
    """Look for a card; takes some milliseconds, more where a driver is slow."""
    try:
        device = resolve(wanted, direction, cards())
        probed = probe(device.pcm, direction)
    except DeviceError as error:
        return CardLookup(None, Availability.ABSENT, str(error))
    return CardLookup(device, probed.availability, _explain(device, direction.noun, probed), probed.hardware)


def require_card(wanted: str, direction: Direction) -> PcmDevice:
    """Return the card; raises MicrophoneError, or SpeakerError, where it cannot be opened now."""
    found = look_up(wanted, direction)
    if found.device is None or found.availability is not Availability.AVAILABLE:
        raise direction.error(found.text)
    return found.device


def _explain(device: PcmDevice, noun: str, probed: ProbeResult) -> str:
    label, error = device.label, probed.error
    match probed.availability:
        case Availability.AVAILABLE:
            return ""
        case Availability.BUSY:
            return f"another program uses the {noun} {label}: `appliance devices` shows which"
        case Availability.DENIED:
            return f"permission denied for the {noun} {label}: add this user to the group audio"
        case Availability.BROKEN:
            return f"the {noun} {label} cannot be opened" + (f": ALSA says: {error}" if error else "")
        case _:
            text = f"the {noun} {label} is missing: plug it in, or choose one that `appliance devices` lists"
            # The missing part may be one that asound.conf builds it from.
            return text if error in {"", f"Unknown PCM {device.pcm}"} else f"{text}; ALSA says: {error}"


def pcm_owner(card: Card, direction: Direction, root: Path = Path("/")) -> str | None:
    """Return the name and number of the process that has one of the card's PCMs open, as far as the kernel shows it."""
    for device in card.devices(direction):
        folder = root / f"proc/asound/card{card.index}/pcm{device}{_KINDS[direction]}"
        for status in sorted(folder.glob("sub*/status")):
            found = _OWNER.search(_text(status))
            if found:
                name = _text(root / f"proc/{found[1]}/comm").strip()
                return f"{name} ({found[1]})" if name else f"process {found[1]}"
    return None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
