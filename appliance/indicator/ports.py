"""The port of a light, and the light that is none."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from appliance.core.state import State


@dataclass(frozen=True, slots=True)
class Look:
    """One instant of a light: the brightness of red, green and blue, each 0 to 1, and the state it shows."""

    state: State
    red: float
    green: float
    blue: float


class Light(Protocol):
    """Shows looks while it runs, beginning with the newest."""

    async def run(self, on_ready: Callable[[], None]) -> None:
        """Show looks until cancelled, then switch off; call ``on_ready`` once looks are shown.

        Raises:
            GpioError: A pin cannot be claimed, or has failed.
        """

    def show(self, look: Look) -> None:
        """Show this look from now on; loop thread only, returns at once, never raises."""


class NoLight:
    """A `Light` without any LED."""

    async def run(self, on_ready: Callable[[], None]) -> None:
        """Do nothing until cancelled."""
        on_ready()
        await asyncio.get_running_loop().create_future()

    def show(self, look: Look) -> None:
        """Do nothing."""
