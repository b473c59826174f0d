"""The state that both sides of one session share."""

import asyncio
from dataclasses import dataclass, field

from appliance.clock import loop_time
from appliance.simulator.connection_context import ConnectionContext
from appliance.simulator.contract.messages import Message, encode, kind
from appliance.simulator.contract.setup import Setup
from appliance.simulator.contract.tokens import Token
from appliance.simulator.model.resumption import Snapshot
from appliance.simulator.record import MessageRecord, SessionRecord
from appliance.simulator.scenario.runner import ScenarioRunner
from appliance.simulator.service import Service


@dataclass(frozen=True, slots=True)
class Admission:
    """An accepted set-up."""

    setup: Setup
    token: Token | None
    """None for the holder of the API key."""
    snapshot: Snapshot | None
    """The session to resume; None for a new one."""


@dataclass(frozen=True, slots=True)
class SessionContext:
    """One session on one connection."""

    admission: Admission
    record: SessionRecord
    connection: ConnectionContext
    scenario: ScenarioRunner
    service: Service
    tasks: asyncio.TaskGroup
    opened_at: float = field(default_factory=loop_time)

    @property
    def setup(self) -> Setup:
        """The client's set-up."""
        return self.admission.setup

    async def send(self, message: Message) -> None:
        """Send a message and record it."""
        self.note("service", *(kind(name, content) for name, content in message.items()))
        await self.connection.transport.send(encode(message))

    def note(self, sender: str, *kinds: str) -> None:
        """Record a message of either side."""
        at_s = loop_time() - self.opened_at
        self.record.note(MessageRecord(round(at_s, 4), sender, " ".join(kinds)))
