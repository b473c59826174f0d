"""Step: can the pins of the light and the button be used? Changes nothing.

It asks the kernel (linux/gpio.h) and claims no pin, so that it does not disturb a running daemon and needs no library.
The self-test claims them.
"""

import fcntl
import struct
import tomllib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from appliance.doctor.finding import Finding, Severity
from appliance.gpio.chip import HEADERS
from appliance.install.defaults import SETTINGS
from appliance.install.machine import Machine
from appliance.install.packages import Packages
from appliance.install.step import Need, Plan, Step

_CHIP_INFO: Final = struct.Struct("=32s32sI")
_GET_CHIP_INFO: Final = 0x8044B401
_LINE_INFO: Final = struct.Struct("=32s32sIIQ160x16x")
_GET_LINE_INFO: Final = 0xC100B405
_USED: Final = 1
_OURS: Final = b"lg"
"""The consumer name with which lgpio, and so the daemon, claims pins."""
_LIGHT: Final = {
    "rgb": {"red": 17, "green": 27, "blue": 22},
    "per-state": {"connecting": 17, "listening": 27, "speaking": 22, "interrupted": 23},
}
_BUTTON: Final = 24

Ioctl = Callable[[int, int, bytes], bytes]


class Pins(Step):
    """Reports missing pins before anything is installed; the appliance also talks without them."""

    name = "pins"
    doing = "looking at the pins"

    def __init__(self, machine: Machine, packages: Packages, ioctl: Ioctl = fcntl.ioctl) -> None:
        self._machine = machine
        self._packages = packages
        self._ioctl = ioctl
        self._notes: list[Finding] = []

    def check(self) -> Plan:
        """Check the settings, the chip and each pin."""
        pins = wanted(_settings(self._machine.at(SETTINGS)))
        self._notes = [] if not pins else self._problems(pins)
        if not pins:
            return Plan(Need.NOTHING, "the settings name none")
        numbers = ", ".join(map(str, pins.values()))
        return Plan(Need.NOTHING, f"GPIO {numbers}" + (": see below" if self._notes else ", free or the appliance's"))

    def apply(self) -> None:
        """Do nothing."""

    def undo(self) -> None:
        """Do nothing."""

    def notes(self) -> Sequence[Finding]:
        """Return the findings."""
        return self._notes

    def _problems(self, pins: Mapping[str, int]) -> list[Finding]:
        if not self._packages.has_pins_library():
            return [
                _note(
                    "the library python3-lgpio is not in this machine's package archives: no light, no button",
                    "Raspberry Pi's own archive has it, archive.raspberrypi.com; or set indicator.kind and button.kind",
                )
            ]
        chip = self._chip()
        if chip is None:
            return [
                _note(
                    f"no GPIO chip can be opened that is {', '.join(HEADERS)}: no light, no button",
                    "without a Raspberry Pi, set indicator.kind and button.kind",
                )
            ]
        users = {name: self._user(chip, pin) for name, pin in pins.items()}
        return [
            _note(f"{name}: GPIO {pins[name]} is in use by {user!r}", "set another pin, or stop that program")
            for name, user in users.items()
            if user is not None
        ]

    def _chip(self) -> Path | None:
        for device in sorted(self._machine.at("/dev").glob("gpiochip*")):
            reply = self._query(device, _GET_CHIP_INFO, bytes(_CHIP_INFO.size))
            if reply and _text(_CHIP_INFO.unpack(reply)[1]) in HEADERS:
                return device
        return None

    def _user(self, chip: Path, pin: int) -> str | None:
        """Return the other user of a pin; None: there is none, or it is unknown."""
        request_data = _LINE_INFO.pack(b"", b"", pin, 0, 0)
        reply = self._query(chip, _GET_LINE_INFO, request_data)
        if not reply:
            return None
        _, user, _, _, flags = _LINE_INFO.unpack(reply)
        return _text(user) or "the kernel" if flags & _USED and not user.startswith(_OURS) else None

    def _query(self, device: Path, request: int, request_data: bytes) -> bytes:
        """Return the kernel's reply; empty on an error."""
        try:
            with device.open("rb", buffering=0) as chip:
                return self._ioctl(chip.fileno(), request, request_data)
        except OSError:
            return b""


def wanted(settings: Mapping[str, Any]) -> dict[str, int]:
    """Return the pins by the names of their settings; invalid settings are left out."""
    found: dict[str, int] = {}
    indicator, button = _table(settings, "indicator"), _table(settings, "button")
    if indicator.get("kind", "gpio") == "gpio":
        said = _table(indicator, "pins")
        pins = _LIGHT.get(str(said.get("layout", "rgb")), {})
        found |= {f"indicator.pins.{name}": said.get(name, pin) for name, pin in pins.items()}
    if button.get("kind", "gpio") == "gpio":
        found["button.pin"] = button.get("pin", _BUTTON)
    return {name: pin for name, pin in found.items() if isinstance(pin, int) and 0 <= pin < 2**32}


def _settings(file: Path) -> dict[str, Any]:
    """Return the two tables as they stand in the settings file and its drop-ins."""
    merged: dict[str, Any] = {}
    for one in (file, *sorted(file.with_name(f"{file.name}.d").glob("*.toml"))):
        try:
            read = tomllib.loads(one.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        for name in ("indicator", "button"):
            before, after = _table(merged, name), _table(read, name)
            merged[name] = before | after | {"pins": _table(before, "pins") | _table(after, "pins")}
    return merged


def _table(settings: Mapping[str, Any], name: str) -> dict[str, Any]:
    found = settings.get(name)
    return found if isinstance(found, dict) else {}


def _text(field: bytes) -> str:
    return field.rstrip(b"\0").decode("ascii", "replace")


def _note(found: str, advice: str) -> Finding:
    return Finding("pins", Severity.NOTE, found, advice)
