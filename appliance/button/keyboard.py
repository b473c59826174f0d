"""The space bar of a terminal as the button.

A terminal reports when a key goes down, never when it comes up, so the space bar is a toggle: the first press is the
button going down, the next one is the button coming up. Key repeats are ignored.
"""

import asyncio
import os
import termios
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, TextIO

from appliance.button.ports import ButtonEdge
from appliance.errors import GpioError

REPEAT_S: Final = 0.1
"""Spaces closer together than this are repeats of a held key (keyboards repeat 11 to 30 times a second)."""
READ_BYTES: Final = 256


class KeyboardButton:
    """A `Button` on a terminal. The caller owns the terminal; `run` restores its mode."""

    def __init__(self, terminal: TextIO | None) -> None:
        """``terminal`` is standard input; None if there is none."""
        self._terminal = terminal

    async def run(self, on_edge: Callable[[ButtonEdge], None], on_ready: Callable[[], None]) -> None:
        """Report edges until cancelled.

        Raises:
            GpioError: Standard input is not a terminal, or the terminal is gone.
        """
        loop = asyncio.get_running_loop()
        gone: asyncio.Future[None] = loop.create_future()
        toggle = _Toggle(on_edge)

        def read() -> None:
            typed = _read(fd)
            if b" " in typed:
                toggle.space(loop.time())
            elif not typed and not gone.done():
                loop.remove_reader(fd)
                gone.set_exception(GpioError("the terminal is gone"))

        with _key_by_key(self._terminal) as fd:
            loop.add_reader(fd, read)
            try:
                on_ready()
                await gone
            finally:
                loop.remove_reader(fd)


class _Toggle:
    def __init__(self, on_edge: Callable[[ButtonEdge], None]) -> None:
        self._on_edge = on_edge
        self._next = ButtonEdge.DOWN
        self._last = float("-inf")

    def space(self, at: float) -> None:
        """Toggle, unless the key repeats."""
        repeats = at - self._last < REPEAT_S
        self._last = at
        if not repeats:
            edge, self._next = self._next, ButtonEdge.UP if self._next is ButtonEdge.DOWN else ButtonEdge.DOWN
            self._on_edge(edge)


def _read(fd: int) -> bytes:
    try:
        return os.read(fd, READ_BYTES)
    except OSError:
        return b""


@contextmanager
def _key_by_key(terminal: TextIO | None) -> Iterator[int]:
    """Deliver keys without Enter and without echo; Ctrl-C still interrupts."""
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
        return  # the terminal is gone
