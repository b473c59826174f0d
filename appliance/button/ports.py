"""What the conversation needs of a button."""

from collections.abc import Callable
from enum import Enum
from typing import Protocol


class Edge(Enum):
    """A change of the button, debounced."""

    DOWN = "down"
    UP = "up"


class Button(Protocol):
    """A source of edges."""

    async def run(self, on_edge: Callable[[Edge], None], on_ready: Callable[[], None]) -> None:
        """Report edges on the loop's thread until cancelled; before them, once, that there will be some.

        Raises:
            GpioError: The pin cannot be claimed.
        """
