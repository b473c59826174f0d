"""A push button between a GPIO pin and ground; with `indicator.gpio` and `gpiochip`, the only importer of gpiozero."""

import asyncio
from collections.abc import Callable

from gpiozero import DigitalInputDevice
from gpiozero.pins import Factory

from appliance.button.ports import Edge
from appliance.errors import GpioError, translated
from appliance.settings import GpioButton as Settings


class GpioButton:
    """A `Button` on a pin that is pulled up; the kernel debounces it."""

    def __init__(self, settings: Settings, pin_factory: Factory) -> None:
        self._pin = settings.pin
        self._bounce_s = settings.bounce_ms / 1000
        self._pin_factory = pin_factory

    async def run(self, on_edge: Callable[[Edge], None], on_ready: Callable[[], None]) -> None:
        """Report edges until cancelled; the pin is given back then. A button that is down at first reports its UP."""
        loop = asyncio.get_running_loop()
        # Below gpiozero, the pin library raises exceptions of its own, derived from Exception only.
        with translated({Exception: GpioError}, f"button.pin: cannot use GPIO {self._pin}"):
            # Not gpiozero.Button: it adds a thread that wakes ten times a second to time holds.
            device = DigitalInputDevice(
                self._pin, pull_up=True, bounce_time=self._bounce_s, pin_factory=self._pin_factory
            )
        try:
            # Called on a thread of the pin library.
            device.when_activated = lambda: loop.call_soon_threadsafe(on_edge, Edge.DOWN)
            device.when_deactivated = lambda: loop.call_soon_threadsafe(on_edge, Edge.UP)
            on_ready()
            await loop.create_future()
        finally:
            device.close()
