"""The GPIO chip is the one with the header, opened for whoever needs it, and anew where it was closed."""

import subprocess
import sys
from pathlib import Path

import pytest
from gpiozero.pins.mock import MockFactory

from appliance.errors import GpioError
from appliance.gpio.chip import GpioChip, header_chip

PROGRAM = """
from appliance.errors import GpioError
from appliance.gpio.chip import GpioChip

try:
    with GpioChip().opened():
        print("opened")
except GpioError as error:
    print(error)
"""


@pytest.mark.skipif(Path("/dev/gpiochip0").exists(), reason="this machine has GPIO pins")
def test_a_machine_without_pins_is_one_line(tmp_path: Path):
    # In a process of its own: the pin library leaves a thread and a pipe behind.
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert done.stdout.startswith("the GPIO chip cannot be opened: ")
    assert (done.stdout.count("\n"), done.stderr) == (1, "")


@pytest.mark.parametrize(
    ("labels", "number"),
    [
        ({0: "pinctrl-bcm2711", 1: "raspberrypi-exp-gpio"}, 0),
        ({0: "gpio-brcmstb@107d508500", 4: "pinctrl-rp1", 10: "raspberrypi-exp-gpio"}, 4),
        ({0: "pinctrl-rp1", 4: "pinctrl-rp1", 11: "gpio-brcmstb@107d508500"}, 0),
        ({0: "raspberrypi-exp-gpio", 1: "pinctrl-bcm2835"}, 1),
    ],
    ids=["Pi 4", "Pi 5 at first", "Pi 5 now, with a link for programs of old", "Pi 3, another order"],
)
def test_the_chip_with_the_header_is_found_by_its_label(labels: dict[int, str], number: int):
    assert header_chip(labels) == number


@pytest.mark.parametrize("labels", [{}, {0: "gpio-mockup-A"}])
def test_without_such_a_chip_it_says_what_there_is(labels: dict[int, str]):
    with pytest.raises(GpioError, match="mockup" if labels else "no chip in /dev"):
        header_chip(labels)


def test_it_is_open_while_anybody_uses_it_and_opened_anew_after_that():
    opened: list[Factory] = []

    def open_factory() -> Factory:
        opened.append(Factory())
        return opened[-1]

    chip = GpioChip(open_factory)
    with chip.opened() as first:
        with chip.opened() as second:
            assert first is second
        closed = [one.closed for one in opened]
    assert [*closed, *(one.closed for one in opened)] == [False, True]
    with chip.opened():
        assert len(opened) == 2


def test_a_chip_that_is_busy_is_tried_again():
    tries = [OSError("busy")]

    def open_factory() -> Factory:
        if tries:
            raise tries.pop()
        return Factory()

    chip = GpioChip(open_factory)
    with pytest.raises(GpioError, match=r"^the GPIO chip cannot be opened: busy$"), chip.opened():
        pass
    with chip.opened():
        pass


class Factory(MockFactory):  # type: ignore[misc]  # gpiozero has no types
    """Tells whether it was closed."""

    closed = False

    def close(self) -> None:
        self.closed = True
