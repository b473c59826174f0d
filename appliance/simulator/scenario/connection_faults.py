"""Faults of a connection. To add one, write a class here and name it in `AnyConnectionFault`."""

import asyncio
from typing import Annotated, Final, Literal

import numpy as np
from pydantic import AfterValidator, Field
from typing_extensions import override

from appliance.clock import loop_time
from appliance.simulator.connection_context import ConnectionContext
from appliance.simulator.contract.messages import DEADLINE, INTERNAL_ERROR, REASONS, encode, go_away, speech
from appliance.simulator.scenario.steps import DurationS, Step, TriggerPoint

_FROM_SETUP: Final = frozenset(TriggerPoint) - {TriggerPoint.CONNECT}
_FROM_READY: Final = _FROM_SETUP - {TriggerPoint.SETUP}
_RESERVED: Final = frozenset({1004, 1005, 1006, 1015})
"""Codes that no close frame may carry (RFC 6455, 7.4.1)."""


def _sendable(code: int) -> int:
    if code in _RESERVED or 1015 < code < 3000:
        raise ValueError("a close frame cannot carry this code; for 1006, use `drop`")
    return code


CloseCode = Annotated[int, Field(ge=1000, le=4999), AfterValidator(_sendable)]


class ConnectionFault(Step):
    """A step that acts on the connection."""

    async def apply(self, connection: ConnectionContext) -> None:
        """Make the connection fail in this way."""
        raise NotImplementedError


class Refuse(ConnectionFault):
    """Answers the connection request with an HTTP error."""

    points = frozenset({TriggerPoint.CONNECT})
    do: Literal["refuse"]
    status: Literal[400, 401, 403, 404, 429, 500, 503]

    @override
    async def apply(self, connection: ConnectionContext) -> None:
        await connection.transport.refuse(self.status)


class HoldSetup(ConnectionFault):
    """Answers the set-up late; without ``for_s``, never."""

    points = frozenset({TriggerPoint.SETUP})
    do: Literal["hold_setup"]
    for_s: DurationS | None = None

    @override
    async def apply(self, connection: ConnectionContext) -> None:
        connection.setup_delay_s = self.for_s


class Close(ConnectionFault):
    """Closes the connection with a code and a reason; without ``reason``, the service's usual one."""

    points = _FROM_SETUP
    do: Literal["close"]
    code: CloseCode
    reason: str | None = None

    @override
    async def apply(self, connection: ConnectionContext) -> None:
        reason = REASONS.get(self.code, "") if self.reason is None else self.reason
        await connection.transport.close(self.code, reason)


class GoAway(ConnectionFault):
    """Sends goAway, and closes the connection when the time is up."""

    points = _FROM_READY
    do: Literal["go_away"]
    time_left_s: DurationS
    code: CloseCode = INTERNAL_ERROR
    reason: str = DEADLINE

    @override
    async def apply(self, connection: ConnectionContext) -> None:
        await connection.transport.send(encode(go_away(self.time_left_s)))
        await asyncio.sleep(self.time_left_s)
        await connection.transport.close(self.code, self.reason)


class Drop(ConnectionFault):
    """Drops the connection at once by a TCP reset: 1006."""

    do: Literal["drop"]

    @override
    async def apply(self, connection: ConnectionContext) -> None:
        connection.transport.drop()


class HalfMessage(ConnectionFault):
    """Sends the first half of a message's frame, then a TCP reset."""

    points = _FROM_SETUP
    do: Literal["half_message"]

    @override
    async def apply(self, connection: ConnectionContext) -> None:
        await connection.transport.send_half(encode(speech(np.zeros(4800, dtype=np.int16))))


class HalfClose(ConnectionFault):
    """Ends its direction of the stream without a close frame, and goes on reading."""

    points = _FROM_SETUP
    do: Literal["half_close"]

    @override
    async def apply(self, connection: ConnectionContext) -> None:
        connection.transport.half_close()


class StopReading(ConnectionFault):
    """Reads nothing more; the client's messages pile up."""

    do: Literal["stop_reading"]

    @override
    async def apply(self, connection: ConnectionContext) -> None:
        connection.transport.stop_reading()


class StopSending(ConnectionFault):
    """Sends nothing more, pongs and close frames included; goes on reading."""

    do: Literal["stop_sending"]

    @override
    async def apply(self, connection: ConnectionContext) -> None:
        connection.transport.stop_sending()


class Freeze(ConnectionFault):
    """Neither reads nor sends any more, as if the other end had lost power."""

    do: Literal["freeze"]

    @override
    async def apply(self, connection: ConnectionContext) -> None:
        connection.transport.stop_sending()
        connection.transport.stop_reading()


class SlowPongs(ConnectionFault):
    """Answers every ping late."""

    do: Literal["slow_pongs"]
    by_s: DurationS

    @override
    async def apply(self, connection: ConnectionContext) -> None:
        connection.transport.slow_pongs(self.by_s)


class SlowClose(ConnectionFault):
    """Answers the client's close frame late; until then the session is connected and cannot be resumed."""

    do: Literal["slow_close"]
    by_s: DurationS

    @override
    async def apply(self, connection: ConnectionContext) -> None:
        connection.transport.slow_close(self.by_s)


class Send(ConnectionFault):
    """Sends ``payload`` verbatim."""

    points = _FROM_SETUP
    do: Literal["send"]
    payload: str

    @override
    async def apply(self, connection: ConnectionContext) -> None:
        await connection.transport.send(self.payload.encode())


class SendLarge(ConnectionFault):
    """Sends one valid message of at least this size, all silence."""

    points = _FROM_READY
    do: Literal["send_large"]
    size_bytes: Annotated[int, Field(ge=1, le=32 << 20)]

    @override
    async def apply(self, connection: ConnectionContext) -> None:
        frames = -(-self.size_bytes * 3 // 8)  # of two bytes each; base64 makes four of three
        await connection.transport.send(encode(speech(np.zeros(frames, dtype=np.int16))))


class Interrupt(ConnectionFault):
    """Sends ``interrupted`` although nobody spoke."""

    points = _FROM_READY
    do: Literal["interrupt"]

    @override
    async def apply(self, connection: ConnectionContext) -> None:
        await connection.session.interrupt_unprompted()


class CancelTools(ConnectionFault):
    """Cancels the tool calls that have no result yet."""

    points = _FROM_READY
    do: Literal["cancel_tools"]

    @override
    async def apply(self, connection: ConnectionContext) -> None:
        await connection.session.cancel_tools()


class HearNothing(ConnectionFault):
    """Treats the person's audio as silence for this time; it is received and recorded."""

    points = _FROM_READY
    do: Literal["hear_nothing"]
    for_s: DurationS

    @override
    async def apply(self, connection: ConnectionContext) -> None:
        connection.deaf_until = loop_time() + self.for_s


class OfferHandle(ConnectionFault):
    """Sends a handle, even in the middle of a turn."""

    points = _FROM_READY
    do: Literal["offer_handle"]

    @override
    async def apply(self, connection: ConnectionContext) -> None:
        await connection.session.offer_handle()


class WithholdHandles(ConnectionFault):
    """Says from now on that the session cannot be resumed."""

    points = _FROM_SETUP
    do: Literal["withhold_handles"]

    @override
    async def apply(self, connection: ConnectionContext) -> None:
        connection.resumable = False


class ForgetHandles(ConnectionFault):
    """Forgets every handle given out so far, in any session."""

    do: Literal["forget_handles"]

    @override
    async def apply(self, connection: ConnectionContext) -> None:
        connection.handles.forget()


AnyConnectionFault = (
    Refuse | HoldSetup | Close | GoAway | Drop | HalfMessage | HalfClose | StopReading | StopSending | Freeze
    | SlowPongs | SlowClose | Send | SendLarge | Interrupt | CancelTools | HearNothing | OfferHandle | WithholdHandles
    | ForgetHandles
)  # fmt: skip
