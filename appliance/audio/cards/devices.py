"""Sound cards by stable name: turns the name in the settings into those of ALSA and PortAudio. Opens nothing.

Card numbers change with every boot and every plug, so they are never a name. Names are: ALSA's id of the card (the word
in brackets of /proc/asound/cards), the USB port that it is plugged into, its product name or a part of that, and the
PCMs of asound.conf. A name is resolved again at every opening, and never to another card.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Final

from appliance.errors import DeviceError, MicrophoneError, SpeakerError


class Direction(Enum):
    """Direction of the samples; the values are PortAudio's names."""

    INPUT = "input"
    OUTPUT = "output"

    @property
    def noun(self) -> str:
        """Name for people; also that of its settings section."""
        return "microphone" if self is Direction.INPUT else "speaker"

    @property
    def error(self) -> type[DeviceError]:
        """Error class of this direction."""
        return MicrophoneError if self is Direction.INPUT else SpeakerError


@dataclass(frozen=True, slots=True)
class Card:
    """A card as the kernel lists it now."""

    index: int
    """Valid until the next boot or plug."""
    id: str
    name: str
    """Product name."""
    usb_port: str | None
    """Such as ``1-1.3``; None where it is not on USB."""
    captures: tuple[int, ...]
    """Numbers of its capture devices."""
    plays: tuple[int, ...]
    """Numbers of its playback devices."""

    def devices(self, direction: Direction) -> tuple[int, ...]:
        """Return the numbers of its devices of one direction."""
        return self.captures if direction is Direction.INPUT else self.plays


@dataclass(frozen=True, slots=True)
class PcmDevice:
    """One PCM and its names."""

    pcm: str
    """ALSA's name."""
    portaudio: str
    """PortAudio's name, or the end of it."""
    label: str
    """Name for people."""

    @property
    def is_listed(self) -> bool:
        """Whether PortAudio lists it; it omits PCMs of asound.conf whose names take arguments."""
        return self.portaudio.startswith("(") or ":" not in self.portaudio

    def is_portaudio(self, name: str) -> bool:
        """Return whether PortAudio knows this device under ``name``."""
        return name == self.portaudio or (self.portaudio.startswith("(") and name.endswith(self.portaudio))


_CARD: Final = re.compile(r"^ *(?P<index>\d+) \[(?P<id>[^\]]+?) *\]: .*? - (?P<name>.*)$", re.MULTILINE)
_HARDWARE: Final = re.compile(r"(?:plug)?hw:CARD=(?P<id>[^,]+)(?:,DEV=(?P<device>\d+))?")
_NUMBERED: Final = re.compile(r"\d+|\w+:(?:CARD=)?\d+(?:,.*)?")
_USB: Final = "usb:"


def cards(root: Path = Path("/")) -> tuple[Card, ...]:
    """Return the cards of the machine, in ALSA's order; none where ALSA is absent."""
    try:
        listed = (root / "proc/asound/cards").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ()
    return tuple(
        Card(
            index=int(found["index"]),
            id=found["id"],
            name=found["name"].strip(),
            usb_port=_usb_port(root, int(found["index"])),
            captures=_numbers(root, int(found["index"]), "c"),
            plays=_numbers(root, int(found["index"]), "p"),
        )
        for found in _CARD.finditer(listed)
    )


def _numbers(root: Path, index: int, kind: str) -> tuple[int, ...]:
    """Return the device numbers of one kind: the kernel has a folder ``pcm0c`` for capture device 0."""
    found = (root / f"proc/asound/card{index}").glob(f"pcm*{kind}")
    return tuple(sorted(int(folder.name[3:-1]) for folder in found))


def _usb_port(root: Path, index: int) -> str | None:
    """Return the port: the card's device is an interface of it, such as ``…/1-1.3/1-1.3:1.0``."""
    interface = (root / f"sys/class/sound/card{index}/device").resolve().name
    port, colon, _ = interface.partition(":")
    return port if colon and re.fullmatch(r"\d+-\d+(\.\d+)*", port) else None


def resolve(wanted: str, direction: Direction, present: Sequence[Card]) -> PcmDevice:
    """Return the PCM that the settings name; without a name, that of the only card.

    Forms: a card's id, ``hw:CARD=<id>`` with or without ``,DEV=<n>``, ``usb:<port>``, a card's name or a part of it;
    anything else is a PCM of asound.conf, or one that comes with ALSA, such as ``hdmi:CARD=<id>``, which may not exist
    until it is opened.

    Raises:
        MicrophoneError: The card is missing or ambiguous. For a speaker, SpeakerError. The message says what to set
            instead.
    """
    usable = [card for card in present if card.devices(direction)]
    if _NUMBERED.fullmatch(wanted):
        raise direction.error(
            f"{direction.noun}.device: {wanted} has a number that may change; {_choices(usable, direction)}"
        )
    if not wanted:
        return _pcm_device(_only(usable, direction, "there is more than one"), direction)
    if hardware := _HARDWARE.fullmatch(wanted):
        found = [card for card in usable if card.id == hardware["id"]]
        device = int(hardware["device"]) if hardware["device"] else None
        return _pcm_device(_only(found, direction, wanted, usable), direction, device)
    if wanted.startswith(_USB):
        found = [card for card in usable if card.usb_port == wanted.removeprefix(_USB)]
        return _pcm_device(_only(found, direction, wanted, usable), direction)
    found = [card for card in usable if card.id == wanted] or _named(wanted, usable)
    if found:
        return _pcm_device(_only(found, direction, f'"{wanted}" fits more than one', usable), direction)
    return PcmDevice(wanted, wanted, wanted)


def _named(wanted: str, usable: Sequence[Card]) -> list[Card]:
    exact = [card for card in usable if card.name == wanted]
    return exact or [card for card in usable if wanted.casefold() in card.name.casefold()]


def _only(found: Sequence[Card], direction: Direction, what: str, usable: Sequence[Card] | None = None) -> Card:
    if len(found) == 1:
        return found[0]
    noun = direction.noun
    if found:
        raise direction.error(f"{noun}.device: {what}; {_choices(found, direction)}")
    if usable:
        raise direction.error(f"the {noun} {what} is not plugged in; {_choices(usable, direction)}")
    raise direction.error(f"no {noun} is plugged in: plug one in, and check with `appliance devices`")


def _choices(usable: Sequence[Card], direction: Direction) -> str:
    if not usable:
        return f"no {direction.noun} is plugged in"
    return f"set {direction.noun}.device to {' or '.join(dict.fromkeys(stable_name(card, usable) for card in usable))}"


def stable_name(card: Card, present: Sequence[Card]) -> str:
    """Return the name of a card for the settings: its id, or its USB port if another card has the same product name."""
    twins = [other for other in present if other.name == card.name]
    return f"{_USB}{card.usb_port}" if len(twins) > 1 and card.usb_port else card.id


def _pcm_device(card: Card, direction: Direction, device: int | None = None) -> PcmDevice:
    numbers = card.devices(direction)
    number = numbers[0] if device is None else device
    if number not in numbers:
        raise direction.error(
            f"{direction.noun}.device: {card.id} has no device {number}; it has {', '.join(map(str, numbers))}"
        )
    return PcmDevice(f"hw:CARD={card.id},DEV={number}", f"(hw:{card.index},{number})", f"{card.id} ({card.name})")
