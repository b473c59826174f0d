"""LEDs on GPIO pins, dimmed by PWM; with `button` and `chip`, the only importer of gpiozero."""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from appliance.config.devices import GpioIndicatorSettings, RgbPins
from appliance.core.state import State
from appliance.errors import GpioError, translated
from appliance.gpio.chip import GpioChip
from appliance.indicator.ports import Look

if TYPE_CHECKING:
    from gpiozero import PWMLED
    from gpiozero.pins import Factory

RGB: Final = ("red", "green", "blue")
PER_STATE: Final = ("connecting", "listening", "speaking", "interrupted")
LIT: Final[Mapping[State, frozenset[str]]] = MappingProxyType(
    {
        State.STARTING: frozenset({"connecting"}),
        State.IDLE: frozenset(),
        State.CONNECTING: frozenset({"connecting"}),
        State.LISTENING: frozenset({"listening"}),
        State.THINKING: frozenset({"listening"}),
        State.SPEAKING: frozenset({"speaking"}),
        State.INTERRUPTED: frozenset({"interrupted"}),
        State.RECONNECTING: frozenset({"connecting"}),
        State.FAREWELL: frozenset({"speaking"}),
        State.TROUBLE: frozenset({"interrupted"}),
        State.FAULT: frozenset(PER_STATE),
        State.STOPPED: frozenset(),
    }
)
"""With one LED per state: those that play the state's pattern."""
STEP: Final = 0.01
"""Resolution of the pins' PWM."""


class GpioLight:
    """A `Light` of three LEDs (red, green, blue) or four (one per state)."""

    def __init__(self, settings: GpioIndicatorSettings, chip: GpioChip) -> None:
        self._settings = settings
        self._chip = chip
        self._names = RGB if isinstance(settings.pins, RgbPins) else PER_STATE
        self._leds: dict[str, PWMLED] = {}
        """Empty while no pins are claimed."""
        self._levels: dict[str, float] = {}
        self._look: Look | None = None
        self._failed: asyncio.Future[None] | None = None

    async def run(self, on_ready: Callable[[], None]) -> None:
        """Claim the pins and show looks until cancelled, then release the pins.

        Raises:
            GpioError: A pin is in use, cannot dim or has failed; all pins have been released.
        """
        with self._chip.opened() as factory, ExitStack() as claimed:
            self._claim(factory, claimed)
            self._failed = asyncio.get_running_loop().create_future()
            if self._look is not None:
                self.show(self._look)
            if not self._failed.done():
                on_ready()
            await self._failed

    def show(self, look: Look) -> None:
        """Set the LEDs whose level has changed; a failing pin ends `run`."""
        self._look = look
        if self._failed is None or self._failed.done():
            return
        for name, led in self._leds.items():
            level = self._levels_of(look)[name]
            if level == self._levels[name]:
                continue
            try:
                with translated({Exception: GpioError}, f"{self._setting(name)} cannot be set"):
                    led.value = level
            except GpioError as error:
                self._failed.set_exception(error)
                return
            self._levels[name] = level

    def _claim(self, factory: "Factory", claimed: ExitStack) -> None:
        """Claim all pins, switched off; ``claimed`` releases them."""
        from gpiozero import PWMLED  # noqa: PLC0415  absent on a laptop; the chip has reported that

        claimed.callback(self._reset)
        for name in self._names:
            # Below gpiozero, the pin library raises exceptions derived from Exception only.
            with translated({Exception: GpioError}, f"{self._setting(name)} cannot be used"):
                led = PWMLED(getattr(self._settings.pins, name), pin_factory=factory)
            claimed.callback(_close, led)
            self._leds[name], self._levels[name] = led, 0.0

    def _reset(self) -> None:
        self._leds, self._levels, self._failed = {}, {}, None

    def _setting(self, name: str) -> str:
        return f"indicator.pins.{name}: GPIO {getattr(self._settings.pins, name)}"

    def _levels_of(self, look: Look) -> dict[str, float]:
        if self._names is RGB:
            parts = dict(zip(RGB, (look.red, look.green, look.blue), strict=True))
        else:
            level = max(look.red, look.green, look.blue)
            parts = {name: level if name in LIT[look.state] else 0.0 for name in PER_STATE}
        return {name: self._dimmed(part) for name, part in parts.items()}

    def _dimmed(self, part: float) -> float:
        """Scale by the brightness in the settings; a lit LED stays lit."""
        if part <= 0:
            return 0.0
        return max(STEP, round(part * self._settings.brightness / STEP) * STEP)


def _close(led: "PWMLED") -> None:
    """Switch the LED off and release its pin; a chip that is gone has done so."""
    with suppress(GpioError), translated({Exception: GpioError}, "cannot be released"):
        led.close()
