"""The connection as a scenario's acts see it."""

import asyncio
from dataclasses import dataclass
from typing import Protocol

from appliance.simulator.model.resumption import ResumptionStore
from appliance.simulator.ports import Transport


class SessionControls(Protocol):
    """The part of a session that acts reach."""

    async def interrupt_unasked(self) -> None:
        """Send ``interrupted`` though nobody spoke, and discard what the model is saying."""

    async def cancel_tools(self) -> None:
        """Cancel the tool calls that wait for their result."""

    async def offer_handle(self) -> None:
        """Send a handle, whatever goes on."""


@dataclass(slots=True)
class ConnectionContext:
    """One connection, from the request on (`acts.Stage`)."""

    transport: Transport
    handles: ResumptionStore
    talk: SessionControls | None = None
    """None until the set-up is accepted."""
    setup_delay_s: float | None = 0.0
    """None: the set-up is never answered."""
    resumable: bool = True
    deaf_until: float = 0.0
    """Loop time; what comes before is silence to the session."""

    async def sleep(self, seconds: float) -> None:
        """Let time pass."""
        await asyncio.sleep(seconds)

    async def interrupt(self) -> None:
        """Send ``interrupted``, and discard what the model is saying."""
        if self.talk is not None:
            await self.talk.interrupt_unasked()

    async def cancel_tools(self) -> None:
        """Cancel the tool calls that wait for their result."""
        if self.talk is not None:
            await self.talk.cancel_tools()

    async def offer_handle(self) -> None:
        """Send a handle, whatever goes on."""
        if self.talk is not None:
            await self.talk.offer_handle()

    def hold_setup(self, seconds: float | None) -> None:
        """Answer the set-up this late; None: never."""
        self.setup_delay_s = seconds

    def hear_nothing(self, seconds: float) -> None:
        """Take what comes for so long for silence."""
        self.deaf_until = asyncio.get_running_loop().time() + seconds

    def withhold_handles(self) -> None:
        """Say from now on that the session cannot be resumed."""
        self.resumable = False

    def forget_handles(self) -> None:
        """Know none of the handles given out so far."""
        self.handles.forget()
