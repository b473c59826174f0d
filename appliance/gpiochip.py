"""The board's GPIO chip, opened once for the LEDs and the button."""

from collections.abc import Iterator
from contextlib import contextmanager

from gpiozero.pins import Factory

from appliance.errors import GpioError, translated


@contextmanager
def gpio_chip() -> Iterator[Factory]:
    """Open the chip through lgpio, by name: gpiozero's own choice would hide why lgpio failed behind fall-backs.

    Importing lgpio starts a thread and leaves a pipe in the working directory, so it waits until a chip is wanted.

    Raises:
        GpioError: lgpio is not installed, this is not a Raspberry Pi, or the chip may not be opened.
    """
    with translated({Exception: GpioError}, "the GPIO chip cannot be opened"):
        from gpiozero.pins.lgpio import LGPIOFactory  # noqa: PLC0415  see above

        factory = LGPIOFactory()
    try:
        yield factory
    finally:
        factory.close()
