"""The space bar, on a pseudo-terminal."""

import asyncio
import os
import pty
import termios
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

import pytest

from appliance.button.keyboard import REPEAT_S, KeyboardButton
from appliance.button.ports import ButtonEdge
from appliance.errors import GpioError

pytestmark = pytest.mark.realtime


@contextmanager
def keyboard() -> Iterator[tuple[int, TextIO]]:
    """Give the keys' end and the program's end of a terminal."""
    keys, program = pty.openpty()
    with os.fdopen(program) as terminal:
        try:
            yield keys, terminal
        finally:
            os.close(keys)


async def typed(keys: int, text: bytes) -> None:
    """Type, and wait until it has been read and no longer counts as a repeat."""
    os.write(keys, text)
    await asyncio.sleep(REPEAT_S * 1.5)


async def test_the_space_bar_is_a_switch_and_other_keys_do_nothing():
    edges: list[ButtonEdge] = []
    with keyboard() as (keys, terminal):
        async with asyncio.TaskGroup() as group:
            task = group.create_task(KeyboardButton(terminal).run(edges.append, lambda: None))
            await asyncio.sleep(0)
            for text in (b" ", b"x\n", b" ", b" "):
                await typed(keys, text)
            task.cancel()
    assert edges == [ButtonEdge.DOWN, ButtonEdge.UP, ButtonEdge.DOWN]


async def test_a_key_that_repeats_counts_once():
    edges: list[ButtonEdge] = []
    with keyboard() as (keys, terminal):
        async with asyncio.TaskGroup() as group:
            task = group.create_task(KeyboardButton(terminal).run(edges.append, lambda: None))
            await asyncio.sleep(0)
            for _ in range(10):
                os.write(keys, b" ")
                await asyncio.sleep(0.005)
            task.cancel()
    assert edges == [ButtonEdge.DOWN]


async def test_the_terminal_is_as_before_when_the_button_has_ended():
    with keyboard() as (_, terminal):
        before = termios.tcgetattr(terminal)
        async with asyncio.TaskGroup() as group:
            task = group.create_task(KeyboardButton(terminal).run(lambda edge: None, lambda: None))
            await asyncio.sleep(0)
            during = termios.tcgetattr(terminal)
            assert not during[3] & (termios.ECHO | termios.ICANON)
            assert during[3] & termios.ISIG, "Ctrl-C still interrupts"
            task.cancel()
            await asyncio.sleep(0)
        assert termios.tcgetattr(terminal) == before


async def test_a_terminal_that_goes_away_is_one_line():
    keys, program = pty.openpty()
    with os.fdopen(program) as terminal:
        asyncio.get_running_loop().call_soon(os.close, keys)
        with pytest.raises(GpioError, match="the terminal is gone"):
            await KeyboardButton(terminal).run(lambda edge: None, lambda: None)


async def test_something_else_than_a_terminal_is_one_line(tmp_path):
    file = tmp_path / "input"
    file.touch()
    with file.open() as stream, pytest.raises(GpioError, match="standard input is not a terminal"):
        await KeyboardButton(stream).run(lambda edge: None, lambda: None)
