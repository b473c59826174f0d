"""A push button between a GPIO pin and ground; with `leds` and `chip`, the only importer of gpiozero."""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from appliance.button.ports import ButtonEdge
from appliance.config.devices import GpioButtonSettings
from appliance.errors import GpioError, translated
from appliance.gpio.chip import GpioChip

if TYPE_CHECKING:
    from gpiozero.pins import Factory


class GpioButton:
    """A `Button` on a pin that is pulled up; the kernel debounces it."""

    def __init__(self, settings: GpioButtonSettings, chip: GpioChip) -> None:
        self._pin = settings.pin
        self._bounce_s = settings.bounce_ms / 1000
        self._chip = chip

    async def run(self, on_edge: Callable[[ButtonEdge], None], on_ready: Callable[[], None]) -> None:
        """Report edges until cancelled, then release the pin. A button that is down at first reports only its UP."""
        with self._chip.opened() as factory:
            await self._report(factory, on_edge, on_ready)

    async def _report(
        self, factory: "Factory", on_edge: Callable[[ButtonEdge], None], on_ready: Callable[[], None]
    ) -> None:
        from gpiozero import DigitalInputDevice  # noqa: PLC0415  absent on a laptop; the chip has reported that

        loop = asyncio.get_running_loop()
        # Below gpiozero, the pin library raises exceptions derived from Exception only.
        with translated({Exception: GpioError}, f"button.pin: GPIO {self._pin} cannot be used"):
            # Not gpiozero.Button: it adds a thread that wakes ten times a second to time holds.
            device = DigitalInputDevice(self._pin, pull_up=True, bounce_time=self._bounce_s, pin_factory=factory)
        try:
            # Called on a thread of the pin library.
            device.when_activated = lambda: loop.call_soon_threadsafe(on_edge, ButtonEdge.DOWN)
            device.when_deactivated = lambda: loop.call_soon_threadsafe(on_edge, ButtonEdge.UP)
            on_ready()
            await loop.create_future()
        finally:
            device.close()
