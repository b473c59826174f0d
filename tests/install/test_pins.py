"""The pins as the kernel tells of them: their chip, their library, and who else has them."""

import struct
from pathlib import Path

import pytest

from appliance.install.machine import Machine
from appliance.install.packages import Packages
from appliance.install.pins import Pins, wanted

CHIP, LINE = struct.Struct("=32s32sI"), struct.Struct("=32s32sIIQ160x16x")


class Kernel:
    """Answers as linux/gpio.h has it."""

    def __init__(self, label: str = "pinctrl-bcm2711", users: dict[int, str] | None = None) -> None:
        self._label = label
        self._users = users or {}

    def __call__(self, descriptor: int, request: int, question: bytes) -> bytes:
        assert (request >> 16) & 0x3FFF == len(question), "the size is part of the number (ioctl.h)"
        if request & 0xFF == 1:
            return CHIP.pack(b"gpiochip0", self._label.encode(), 58)
        *_, pin, _, _ = LINE.unpack(question)
        user = self._users.get(pin)
        return LINE.pack(b"", (user or "").encode(), pin, 0, user is not None)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev/gpiochip0").touch()
    (tmp_path / "etc/voice-appliance").mkdir(parents=True)
    commands = tmp_path / "bin"
    commands.mkdir()
    for name, says in (("dpkg-query", "python3 installed"), ("apt-cache", "Candidate: (none)")):
        (commands / name).write_text(f"#!/bin/sh\necho '{says}'\n")
        (commands / name).chmod(0o755)
    return Machine(tmp_path, str(commands))


def told(machine: Machine, kernel: Kernel, python: tuple[int, int] = (3, 11)) -> tuple[str, list[str]]:
    """Return the step's line, and its notes."""
    step = Pins(machine, Packages(machine, python), kernel)
    return step.check().text, [note.found for note in step.notes()]


def test_free_pins_are_no_news(machine: Machine):
    assert told(machine, Kernel()) == ("GPIO 17, 27, 22, 24, free or the appliance's", [])


def test_pins_that_the_daemon_has_are_no_news_either(machine: Machine):
    assert told(machine, Kernel(users={17: "lg", 24: "lg"}))[1] == []


@pytest.mark.parametrize(("user", "name"), [("w1", "'w1'"), ("", "'the kernel'")])
def test_a_pin_in_use_is_told_with_its_setting_and_its_user(machine: Machine, user: str, name: str):
    text, notes = told(machine, Kernel(users={22: user}))
    assert text == "GPIO 17, 27, 22, 24: see below"
    assert notes == [f"indicator.pins.blue: GPIO 22 is in use by {name}"]


def test_the_pins_are_those_of_the_settings_and_their_drop_ins(machine: Machine):
    settings = machine.at("/etc/voice-appliance/appliance.toml")
    settings.write_text("[indicator.pins]\nred = 5\n[button]\npin = 6\n")
    drop_ins = settings.with_name("appliance.toml.d")
    drop_ins.mkdir()
    (drop_ins / "a.toml").write_text('[indicator.pins]\nblue = 13\n[button]\nkind = "none"\n')
    (drop_ins / "b.toml").write_text("not TOML")
    assert told(machine, Kernel())[0].startswith("GPIO 5, 27, 13,")
    (drop_ins / "c.toml").write_text('[indicator]\nkind = "none"\n')
    assert told(machine, Kernel()) == ("the settings name none", [])


@pytest.mark.parametrize("kernel", [Kernel("gpio-mockup-A")])
def test_without_a_chip_that_has_the_header_it_says_what_to_set(machine: Machine, kernel: Kernel):
    (note,) = told(machine, kernel)[1]
    assert "no GPIO chip" in note


def test_without_the_library_on_debian_13_it_is_told_before_anything_is_installed(machine: Machine):
    (note,) = told(machine, Kernel(), (3, 13))[1]
    assert "python3-lgpio is not in this machine's package archives" in note
    (machine.at("/bin/apt-cache")).write_text("#!/bin/sh\necho 'Candidate: 0.2.2-1~rpt1'\n")
    assert told(machine, Kernel(), (3, 13))[1] == []


@pytest.mark.parametrize(
    "settings",
    [
        {"indicator": 3, "button": []},
        {"indicator": {"pins": {"layout": "star", "red": 1}}, "button": {"pin": "x"}},
        {"indicator": {"pins": {"red": -1}}, "button": {"kind": 7}},
    ],
)
def test_settings_that_are_wrong_are_for_others_to_tell(settings: dict[str, object]):
    assert all(isinstance(pin, int) for pin in wanted(settings).values())
