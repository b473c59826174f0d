"""The port of a button."""

from collections.abc import Callable
from enum import Enum
from typing import Protocol


class ButtonEdge(Enum):
    """A debounced change of the button."""

    DOWN = "down"
    UP = "up"


class Button(Protocol):
    """A source of edges."""

    async def run(self, on_edge: Callable[[ButtonEdge], None], on_ready: Callable[[], None]) -> None:
        """Report edges on the loop's thread until cancelled; call ``on_ready`` once before the first.

        Raises:
            GpioError: The pin cannot be claimed.
        """
