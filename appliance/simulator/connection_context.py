"""The parts of one connection that its scenario may change."""

from dataclasses import dataclass, field
from typing import Protocol

from appliance.simulator.model.resumption import ResumptionStore
from appliance.simulator.ports import Transport


class SessionControls(Protocol):
    """Actions on a running session."""

    async def interrupt_unprompted(self) -> None:
        """Send ``interrupted`` although nobody spoke, and discard the reply in progress."""

    async def cancel_tools(self) -> None:
        """Cancel the tool calls that have no result yet."""

    async def offer_handle(self) -> None:
        """Send a handle, even in the middle of a turn."""


@dataclass(slots=True)
class ConnectionContext:
    """One connection, from the request on."""

    transport: Transport
    handles: ResumptionStore
    session: SessionControls = field(init=False)
    """Set once the set-up is accepted: before `TriggerPoint.READY`."""
    setup_delay_s: float | None = 0.0
    """None: the set-up is never answered."""
    resumable: bool = True
    """False: the service says that the session cannot be resumed."""
    deaf_until: float = 0.0
    """Loop time. Audio that arrives before is recorded, but the session hears silence."""
