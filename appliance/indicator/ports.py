"""What the conversation needs of a light."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from appliance.core.state import State


@dataclass(frozen=True, slots=True)
class Look:
    """One instant of a light: brightness of red, green and blue, each 0 to 1, and the state that it stands for."""

    state: State
    red: float
    green: float
    blue: float


class Light(Protocol):
    """Shows looks while it runs; the newest one at once when it begins to."""

    async def run(self, on_ready: Callable[[], None]) -> None:
        """Show looks until cancelled, and be off afterwards; ``on_ready`` is called once they are shown.

        Raises:
            GpioError: A pin cannot be claimed, or has failed since.
        """

    def show(self, look: Look) -> None:
        """Show this from now on; called on the loop's thread, returns at once, never raises."""
