"""LEDs on gpiozero's own mock of a board."""

from collections.abc import Iterator

import pytest
from gpiozero.pins.mock import MockFactory, MockPin, MockPWMPin

from appliance.core.state import State
from appliance.errors import GpioError
from appliance.indicator.gpio import LIT, PER_STATE, GpioLight
from appliance.indicator.patterns import look_at
from appliance.indicator.ports import Look
from appliance.settings import GpioIndicator, RgbPins, StatePins


@pytest.fixture
def board() -> Iterator[MockFactory]:
    factory = MockFactory(pin_class=MockPWMPin)
    yield factory
    factory.reset()


def level(board: MockFactory, pin: int) -> float:
    return float(board.pin(pin).state)


def test_an_rgb_led_shows_the_colours_of_a_look(board: MockFactory):
    light = GpioLight(GpioIndicator(pins=RgbPins(red=5, green=6, blue=13)), board)
    light.show(Look(State.LISTENING, 0.25, 0.5, 1.0))
    assert [level(board, pin) for pin in (5, 6, 13)] == [0.25, 0.5, 1.0]
    light.close()


def test_all_leds_are_off_at_first_and_after_closing(board: MockFactory):
    light = GpioLight(GpioIndicator(), board)
    assert [level(board, pin) for pin in (17, 27, 22)] == [0, 0, 0]
    light.show(look_at(State.LISTENING, 0))
    light.close()
    light.close()
    assert [board.pin(pin).function for pin in (17, 27, 22)] == ["input"] * 3


def test_brightness_scales_every_led_but_switches_none_off(board: MockFactory):
    light = GpioLight(GpioIndicator(brightness=0.1), board)
    light.show(Look(State.IDLE, 1.0, 0.04, 0.0))
    assert [level(board, pin) for pin in (17, 27, 22)] == [0.1, 0.01, 0.0]
    light.close()


def test_with_one_led_a_state_the_right_ones_are_lit(board: MockFactory):
    pins = StatePins(layout="per-state", interrupted=24)
    light = GpioLight(GpioIndicator(pins=pins), board)
    for state in State:
        light.show(look_at(state, 0))
        lit = {name for name in PER_STATE if level(board, getattr(pins, name)) > 0}
        assert lit == LIT[state]
    light.close()


def test_with_one_led_a_state_a_fault_lights_all_four_and_idle_none():
    assert LIT[State.FAULT] == set(PER_STATE)
    assert LIT[State.IDLE] == set()
    assert all(name in LIT[State(name)] for name in PER_STATE)


def test_an_unchanged_look_is_not_written_again(board: MockFactory):
    light = GpioLight(GpioIndicator(), board)
    pin = board.pin(17)
    light.show(Look(State.FAULT, 0.501, 0.0, 0.0))
    pin.clear_states()
    light.show(Look(State.FAULT, 0.499, 0.0, 0.0))
    assert len(pin.states) == 1
    light.close()


def test_a_pin_in_use_is_one_line_that_names_the_setting_and_gives_the_others_back(board: MockFactory):
    first = GpioLight(GpioIndicator(pins=RgbPins(red=20, green=21, blue=22)), board)
    with pytest.raises(GpioError, match=r"^indicator\.pins\.blue: cannot use GPIO 22: ") as caught:
        GpioLight(GpioIndicator(), board)
    assert "\n" not in str(caught.value)
    first.close()
    GpioLight(GpioIndicator(), board).close()


def test_a_board_without_dimming_is_one_line():
    with pytest.raises(GpioError, match=r"^indicator\.pins\.red: cannot use GPIO 17: "):
        GpioLight(GpioIndicator(), MockFactory(pin_class=MockPin))


def test_a_pin_that_fails_later_is_counted_and_does_not_raise(board: MockFactory):
    light = GpioLight(GpioIndicator(), board)
    light.close()
    light.show(look_at(State.LISTENING, 0))
    assert light.failures == 2
