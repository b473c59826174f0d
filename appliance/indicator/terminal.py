"""A light made of text: on a terminal one line that changes in place, elsewhere one line per state change."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Final, TextIO

from rich.console import Console
from rich.style import Style
from rich.text import Text

from appliance.core.state import State
from appliance.indicator.ports import Look

WIDTH: Final = max(len(state.value) for state in State)


class TerminalLight:
    """A `Light` on a text stream, which the caller owns; None shows nothing. Write errors are ignored."""

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream
        self._in_place = stream is not None and stream.isatty()
        self._console = Console(file=stream, force_terminal=self._in_place, highlight=False)
        self._last: Look | None = None

    async def run(self, on_ready: Callable[[], None]) -> None:
        """Show looks until cancelled; keep the last line and begin a new one."""
        on_ready()
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            self.close()

    def show(self, look: Look) -> None:
        """Draw the look if it has changed; without a terminal, print the state if that has changed."""
        last, self._last = self._last, look
        with suppress(OSError, ValueError):
            if self._in_place:
                if look != last:
                    self._console.print(_drawn(look), end="\r", soft_wrap=True)
            elif self._stream is not None and (last is None or look.state is not last.state):
                self._stream.write(f"{look.state.value}\n")
                self._stream.flush()

    def close(self) -> None:
        """Keep the last line and begin a new one."""
        with suppress(OSError, ValueError):
            if self._in_place and self._last is not None:
                self._console.print()


def _drawn(look: Look) -> Text:
    red, green, blue = (round(255 * part) for part in (look.red, look.green, look.blue))
    lamp = Style(color=f"rgb({red},{green},{blue})")
    return Text.assemble(("● ", lamp), look.state.value.ljust(WIDTH))
