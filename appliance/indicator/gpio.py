"""LEDs on GPIO pins, dimmed by PWM; with `button.gpio` and `gpiochip`, the only importer of gpiozero."""

from collections.abc import Mapping
from contextlib import ExitStack
from types import MappingProxyType
from typing import Final

from gpiozero import PWMLED
from gpiozero.exc import GPIOZeroError
from gpiozero.pins import Factory

from appliance.core.state import State
from appliance.errors import GpioError, translated
from appliance.indicator.ports import Look
from appliance.settings import GpioIndicator, RgbPins

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
"""With one LED a state: which of the four plays the state's pattern."""
STEP: Final = 0.01
"""The pins' PWM knows hundredths."""


class GpioLight:
    """A `Light` of three LEDs (red, green, blue) or of four (one a state)."""

    def __init__(self, settings: GpioIndicator, pin_factory: Factory) -> None:
        """Claim the pins, all off.

        Raises:
            GpioError: A pin is in use or cannot dim; pins claimed before it have been given back.
        """
        self.failures = 0
        """Looks that a pin did not take."""
        self._brightness = settings.brightness
        self._names = RGB if isinstance(settings.pins, RgbPins) else PER_STATE
        self._leds: dict[str, PWMLED] = {}
        self._levels = dict.fromkeys(self._names, 0.0)
        with ExitStack() as undo:
            for name in self._names:
                pin = getattr(settings.pins, name)
                # Below gpiozero, the pin library raises exceptions of its own, derived from Exception only.
                with translated({Exception: GpioError}, f"indicator.pins.{name}: cannot use GPIO {pin}"):
                    self._leds[name] = PWMLED(pin, pin_factory=pin_factory)
                undo.callback(self._leds[name].close)
            undo.pop_all()

    def show(self, look: Look) -> None:
        """Set the LEDs whose level has changed."""
        for name, level in self._wanted(look).items():
            if level != self._levels[name]:
                try:
                    self._leds[name].value = level
                except GPIOZeroError:
                    self.failures += 1
                else:
                    self._levels[name] = level

    def close(self) -> None:
        """Switch off and give the pins back; more than once does nothing."""
        for led in self._leds.values():
            led.close()

    def _wanted(self, look: Look) -> dict[str, float]:
        if self._names is RGB:
            parts = dict(zip(RGB, (look.red, look.green, look.blue), strict=True))
        else:
            level = max(look.red, look.green, look.blue)
            parts = {name: level if name in LIT[look.state] else 0.0 for name in PER_STATE}
        return {name: self._dimmed(part) for name, part in parts.items()}

    def _dimmed(self, part: float) -> float:
        """Scale by the brightness of the settings; what is lit stays lit."""
        if part <= 0:
            return 0.0
        return max(STEP, round(part * self._brightness / STEP) * STEP)
