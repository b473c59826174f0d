"""Plays patterns on a light: the first look of a state at once, the animation from one task."""

import asyncio
from typing import Final

from appliance.core.events import Fault, Trouble
from appliance.core.state import State
from appliance.indicator.patterns import look_at, pattern_of
from appliance.indicator.ports import Light

LOOK_S: Final = 0.04
"""Seconds between two looks of an animated pattern."""


class Player:
    """Shows the conversation's state. Loop thread only; sleeps while the pattern is steady."""

    def __init__(self, light: Light) -> None:
        self._light = light
        self._loop = asyncio.get_running_loop()
        self._entered = asyncio.Event()
        self._state = State.STARTING
        self._kind: Trouble | Fault | None = None
        self._since = self._loop.time()

    def enter(self, state: State, kind: Trouble | Fault | None = None) -> None:
        """Show the first look of ``state`` before returning; `run` animates it."""
        self._state, self._kind, self._since = state, kind, self._loop.time()
        self._show()
        self._entered.set()

    async def run(self) -> None:
        """Animate until cancelled; the light is off afterwards."""
        try:
            while True:
                if pattern_of(self._state, self._kind).moves:
                    await asyncio.sleep(LOOK_S)
                    self._show()
                else:
                    self._entered.clear()
                    await self._entered.wait()
        finally:
            self._light.show(look_at(State.STOPPED, 0))

    def _show(self) -> None:
        self._light.show(look_at(self._state, self._loop.time() - self._since, self._kind))
