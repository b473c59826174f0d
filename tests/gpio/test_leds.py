"""LEDs on gpiozero's own mock of a board."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest
from gpiozero.pins.mock import MockFactory, MockPin, MockPWMPin

from appliance.config.devices import GpioIndicatorSettings, RgbPins, StatePins
from appliance.core.state import State
from appliance.errors import GpioError
from appliance.gpio.chip import GpioChip
from appliance.gpio.leds import LIT, PER_STATE, GpioLight
from appliance.indicator.patterns import look_at
from appliance.indicator.ports import Look


class Board(MockFactory):  # type: ignore[misc]  # gpiozero has no types
    """A board whose pins stay as they are when its chip is closed."""

    def close(self) -> None:
        pass


class FailingPin(MockPWMPin):  # type: ignore[misc]
    """A pin whose chip is gone once it is to be bright."""

    def _set_state(self, value: float) -> None:
        if value == 1.0:
            raise OSError("No such device")
        super()._set_state(value)


def level(board: MockFactory, pin: int) -> float:
    return float(board.pin(pin).state)


@asynccontextmanager
async def shining(
    settings: GpioIndicatorSettings, board: MockFactory, before: Look | None = None
) -> AsyncIterator[GpioLight]:
    """Run a light until the block ends."""
    light, ready = GpioLight(settings, GpioChip(lambda: board)), asyncio.Event()
    if before is not None:
        light.show(before)
    async with asyncio.TaskGroup() as group:
        running = group.create_task(light.run(ready.set))
        await ready.wait()
        yield light
        running.cancel()


@pytest.fixture
def board() -> Iterator[MockFactory]:
    factory = Board(pin_class=MockPWMPin)
    yield factory
    factory.reset()


async def test_an_rgb_led_shows_the_colours_of_a_look(board: MockFactory):
    async with shining(GpioIndicatorSettings(pins=RgbPins(red=5, green=6, blue=13)), board) as light:
        light.show(Look(State.LISTENING, 0.25, 0.5, 1.0))
        assert [level(board, pin) for pin in (5, 6, 13)] == [0.25, 0.5, 1.0]


async def test_what_was_to_be_shown_before_there_were_pins_is_shown_with_them(board: MockFactory):
    async with shining(GpioIndicatorSettings(), board, before=Look(State.LISTENING, 0.25, 0.5, 1.0)):
        assert [level(board, pin) for pin in (17, 27, 22)] == [0.25, 0.5, 1.0]


async def test_all_leds_are_off_at_first_and_given_back_at_the_end(board: MockFactory):
    async with shining(GpioIndicatorSettings(), board) as light:
        assert [level(board, pin) for pin in (17, 27, 22)] == [0, 0, 0]
        light.show(look_at(State.LISTENING, 0))
    assert [board.pin(pin).function for pin in (17, 27, 22)] == ["input"] * 3
    light.show(look_at(State.LISTENING, 0))


async def test_brightness_scales_every_led_but_switches_none_off(board: MockFactory):
    async with shining(GpioIndicatorSettings(brightness=0.1), board) as light:
        light.show(Look(State.IDLE, 1.0, 0.04, 0.0))
        assert [level(board, pin) for pin in (17, 27, 22)] == [0.1, 0.01, 0.0]


async def test_with_one_led_a_state_the_right_ones_are_lit(board: MockFactory):
    pins = StatePins(layout="per-state", interrupted=24)
    async with shining(GpioIndicatorSettings(pins=pins), board) as light:
        for state in State:
            light.show(look_at(state, 0))
            lit = {name for name in PER_STATE if level(board, getattr(pins, name)) > 0}
            assert lit == LIT[state]


def test_with_one_led_a_state_a_fault_lights_all_four_and_idle_none():
    assert LIT[State.FAULT] == set(PER_STATE)
    assert LIT[State.IDLE] == set()
    assert all(name in LIT[State(name)] for name in PER_STATE)


async def test_an_unchanged_look_is_not_written_again(board: MockFactory):
    async with shining(GpioIndicatorSettings(), board) as light:
        pin = board.pin(17)
        light.show(Look(State.FAULT, 0.501, 0.0, 0.0))
        pin.clear_states()
        light.show(Look(State.FAULT, 0.499, 0.0, 0.0))
        assert len(pin.states) == 1


async def test_a_pin_in_use_is_one_line_that_names_the_setting_and_gives_the_others_back(board: MockFactory):
    async with shining(GpioIndicatorSettings(pins=RgbPins(red=20, green=21, blue=22)), board):
        with pytest.raises(GpioError, match=r"^indicator\.pins\.blue: GPIO 22 cannot be used: ") as caught:
            await GpioLight(GpioIndicatorSettings(), GpioChip(lambda: board)).run(lambda: None)
        assert "\n" not in str(caught.value)
    async with shining(GpioIndicatorSettings(), board):
        pass


async def test_a_board_without_dimming_is_one_line():
    light = GpioLight(GpioIndicatorSettings(), GpioChip(lambda: MockFactory(pin_class=MockPin)))
    with pytest.raises(GpioError, match=r"^indicator\.pins\.red: GPIO 17 cannot be used: "):
        await light.run(lambda: None)


async def test_a_pin_that_fails_later_ends_it_and_the_next_try_claims_all_anew():
    board = Board(pin_class=FailingPin)
    light, ready = GpioLight(GpioIndicatorSettings(), GpioChip(lambda: board)), asyncio.Event()
    running = asyncio.ensure_future(light.run(ready.set))
    await ready.wait()
    light.show(Look(State.FAULT, 1.0, 0.0, 0.0))
    light.show(Look(State.FAULT, 0.5, 0.0, 0.0))
    with pytest.raises(GpioError, match=r"^indicator\.pins\.red: GPIO 17 cannot be set: No such device$"):
        await running
    async with asyncio.TaskGroup() as group:
        again = group.create_task(light.run(lambda: None))
        await asyncio.sleep(1)
        assert level(board, 17) == 0.5
        again.cancel()
    board.reset()
