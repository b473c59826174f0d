"""A push button on gpiozero's own mock of a board."""

import asyncio
import threading

import pytest
from gpiozero.pins.mock import MockFactory, MockPin

from appliance.button.ports import ButtonEdge
from appliance.config.devices import GpioButtonSettings
from appliance.errors import GpioError
from appliance.gpio.button import GpioButton
from appliance.gpio.chip import GpioChip

pytestmark = pytest.mark.realtime


class HeldPin(MockPin):  # type: ignore[misc]  # gpiozero has no types
    """A pin that a finger pulls down, whatever its resistor."""

    def _set_pull(self, value: str) -> None:
        super()._set_pull(value)
        self.drive_low()


def chip(board: MockFactory) -> GpioChip:
    """Return a chip whose pins stay as they are when it is closed."""
    board.close = lambda: None
    return GpioChip(lambda: board)


async def settle() -> None:
    """Let callbacks run that other threads have queued."""
    for _ in range(3):
        await asyncio.sleep(0)


async def test_edges_arrive_in_order_on_the_loops_thread():
    board = MockFactory()
    edges: list[tuple[ButtonEdge, threading.Thread]] = []
    button = GpioButton(GpioButtonSettings(pin=23), chip(board))

    def press() -> None:
        board.pin(23).drive_low()
        board.pin(23).drive_high()

    async with asyncio.TaskGroup() as group:
        task = group.create_task(
            button.run(lambda edge: edges.append((edge, threading.current_thread())), lambda: None)
        )
        await settle()
        assert edges == []
        await asyncio.to_thread(press)
        await asyncio.to_thread(press)
        await settle()
        task.cancel()
    assert edges == [(edge, threading.main_thread()) for edge in (ButtonEdge.DOWN, ButtonEdge.UP) * 2]
    board.reset()


async def test_the_pin_is_pulled_up_debounced_and_given_back():
    board = MockFactory()
    for _ in range(2):
        async with asyncio.TaskGroup() as group:
            button = GpioButton(GpioButtonSettings(pin=23, bounce_ms=45), chip(board))
            task = group.create_task(button.run(lambda edge: None, lambda: None))
            await settle()
            assert (board.pin(23).pull, board.pin(23).bounce) == ("up", 0.045)
            task.cancel()
    board.reset()


async def test_a_button_that_is_down_at_first_reports_only_its_release():
    board = MockFactory(pin_class=HeldPin)
    edges: list[ButtonEdge] = []
    async with asyncio.TaskGroup() as group:
        task = group.create_task(GpioButton(GpioButtonSettings(pin=23), chip(board)).run(edges.append, lambda: None))
        await settle()
        board.pin(23).drive_high()
        await settle()
        task.cancel()
    assert edges == [ButtonEdge.UP]
    board.reset()


async def test_a_pin_in_use_is_one_line_that_names_the_setting():
    board = MockFactory()
    async with asyncio.TaskGroup() as group:
        task = group.create_task(
            GpioButton(GpioButtonSettings(pin=23), chip(board)).run(lambda edge: None, lambda: None)
        )
        await settle()
        with pytest.raises(GpioError, match=r"^button\.pin: GPIO 23 cannot be used: .*in use"):
            await GpioButton(GpioButtonSettings(pin=23), chip(board)).run(lambda edge: None, lambda: None)
        task.cancel()
    board.reset()


async def test_no_thread_runs_while_a_button_waits():
    board = MockFactory()
    before = threading.active_count()
    async with asyncio.TaskGroup() as group:
        task = group.create_task(
            GpioButton(GpioButtonSettings(pin=23), chip(board)).run(lambda edge: None, lambda: None)
        )
        await settle()
        assert threading.active_count() == before
        task.cancel()
    board.reset()
