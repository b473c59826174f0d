"""The space bar of a terminal as the button.

A terminal tells when a key goes down, never when it comes up. So the space bar is a switch: pressed once, the button
is down; pressed again, it is up. A key that is kept down repeats; repeats are not presses.
"""

import asyncio
import os
import termios
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, TextIO

from appliance.button.ports import Edge
from appliance.errors import GpioError

REPEAT_S: Final = 0.1
"""Spaces closer together than this come from a key that is kept down (keyboards repeat 11 to 30 times a second)."""
READ_BYTES: Final = 256


class KeyboardButton:
    """A `Button` on a terminal, which stays the caller's and is as before when `run` has ended."""

    def __init__(self, terminal: TextIO | None) -> None:
        """None: a program may have no standard input."""
        self._terminal = terminal

    async def run(self, on_edge: Callable[[Edge], None], on_ready: Callable[[], None]) -> None:
        """Report edges until cancelled.

        Raises:
            GpioError: This is no terminal, or it has gone.
        """
        loop = asyncio.get_running_loop()
        gone: asyncio.Future[None] = loop.create_future()
        switch = _Switch(on_edge)

        def read() -> None:
            typed = _read(fd)
            if b" " in typed:
                switch.space(loop.time())
            elif not typed and not gone.done():
                loop.remove_reader(fd)
                gone.set_exception(GpioError("the terminal is gone, and the space bar with it"))

        with _key_by_key(self._terminal) as fd:
            loop.add_reader(fd, read)
            try:
                on_ready()
                await gone
            finally:
                loop.remove_reader(fd)


class _Switch:
    def __init__(self, on_edge: Callable[[Edge], None]) -> None:
        self._on_edge = on_edge
        self._next = Edge.DOWN
        self._last = float("-inf")

    def space(self, at: float) -> None:
        """Turn the switch, unless the key repeats."""
        repeats = at - self._last < REPEAT_S
        self._last = at
        if not repeats:
            edge, self._next = self._next, Edge.UP if self._next is Edge.DOWN else Edge.DOWN
            self._on_edge(edge)


def _read(fd: int) -> bytes:
    try:
        return os.read(fd, READ_BYTES)
    except OSError:
        return b""


@contextmanager
def _key_by_key(terminal: TextIO | None) -> Iterator[int]:
    """Let keys through without Enter and without echo; Ctrl-C still interrupts."""
    try:
        fd = -1 if terminal is None else terminal.fileno()
        before = termios.tcgetattr(fd)
    except (OSError, ValueError, termios.error) as error:
        raise GpioError("button.kind is keyboard, but standard input is not a terminal") from error
    tty.setcbreak(fd)
    try:
        yield fd
    finally:
        _restore(fd, before)


def _restore(fd: int, before: list[int | list[bytes | int]]) -> None:
    try:
        termios.tcsetattr(fd, termios.TCSADRAIN, before)
    except termios.error:
        return  # the terminal is gone, and its settings with it
