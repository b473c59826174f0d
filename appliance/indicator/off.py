"""No light at all."""

import asyncio
from collections.abc import Callable

from appliance.indicator.ports import Look


class NoLight:
    """A `Light` that nobody sees."""

    async def run(self, on_ready: Callable[[], None]) -> None:
        """Do nothing until cancelled."""
        on_ready()
        await asyncio.get_running_loop().create_future()

    def show(self, look: Look) -> None:
        """Do nothing."""
