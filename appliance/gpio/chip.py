"""The board's GPIO chip, shared by the LEDs and the button."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from appliance.errors import GpioError, translated

if TYPE_CHECKING:
    from gpiozero.pins import Factory

HEADERS: Final = ("pinctrl-rp1", "pinctrl-bcm2711", "pinctrl-bcm2835")
"""Labels of the chips that drive the 40-pin header: Pi 5, Pi 4, older models. Their numbers depend on the kernel."""
DEVICES: Final = Path("/dev")


class GpioChip:
    """The chip, open while it has users, so that one that was absent or has failed is opened anew; loop thread only.

    Args:
        open_factory: Opens it; by default with lgpio, because gpiozero's own choice hides behind its fall-backs why
            lgpio failed.
    """

    def __init__(self, open_factory: "Callable[[], Factory] | None" = None) -> None:
        self._open_factory = open_factory or _open_lgpio
        self._factory: Factory | None = None
        self._users = 0

    @contextmanager
    def opened(self) -> "Iterator[Factory]":
        """Yield the factory of pins.

        Raises:
            GpioError: A library is missing, this is not a Raspberry Pi, or the chip cannot be opened.
        """
        if self._factory is None:
            # Below gpiozero, the pin library raises exceptions derived from Exception only.
            with translated({Exception: GpioError}, "the GPIO chip cannot be opened"):
                self._factory = self._open_factory()
        factory = self._factory
        self._users += 1
        try:
            yield factory
        finally:
            self._users -= 1
            if not self._users:
                self._factory = None
                factory.close()


def header_chip(labels: Mapping[int, str]) -> int:
    """Return the number of the chip that drives the 40-pin header, among chips with these labels.

    Raises:
        GpioError: There is none.
    """
    for header in HEADERS:
        for number, label in sorted(labels.items()):
            if label == header:
                return number
    there = ", ".join(f"gpiochip{number} is {label}" for number, label in sorted(labels.items()))
    raise GpioError(f"no chip drives a Raspberry Pi's header ({there or 'no chip in /dev can be opened'})")


def _open_lgpio() -> "Factory":
    """Open the chip with lgpio, imported late: that starts a thread and leaves a pipe in the working directory."""
    if not any(DEVICES.glob("gpiochip*")):
        raise GpioError("there is none in /dev")
    try:
        import lgpio  # noqa: PLC0415
        from gpiozero.pins.lgpio import LGPIOFactory  # noqa: PLC0415
    except ImportError as error:
        raise GpioError(f"{error.name} is not installed; on Raspberry Pi OS: sudo apt install python3-lgpio") from error
    labels = {}
    for device in DEVICES.glob("gpiochip*"):
        try:
            handle = lgpio.gpiochip_open(int(device.name.removeprefix("gpiochip")))
        except (lgpio.error, ValueError):
            continue  # in use elsewhere, or a link beside the chips
        labels[int(device.name.removeprefix("gpiochip"))] = lgpio.gpio_get_chip_info(handle)[3]
        lgpio.gpiochip_close(handle)
    return LGPIOFactory(chip=header_chip(labels))
