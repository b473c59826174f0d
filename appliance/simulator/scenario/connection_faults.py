"""What a scenario can do to a connection. To add an act: a class here, and its name in `AnyAct`."""

from typing import Annotated, Final, Literal, Protocol

import numpy as np
from pydantic import AfterValidator, Field
from typing_extensions import override

from appliance.simulator.contract.messages import DEADLINE, INTERNAL_ERROR, REASONS, encode, go_away, speech
from appliance.simulator.ports import Transport
from appliance.simulator.scenario.steps import Moment, Span, Step

_FROM_SETUP: Final = frozenset(Moment) - {Moment.CONNECT}
_FROM_READY: Final = _FROM_SETUP - {Moment.SETUP}
_UNSENDABLE: Final = frozenset({1004, 1005, 1006, 1015})
"""Reserved: no close frame may hold them (RFC 6455, 7.4.1)."""


def _sendable(code: int) -> int:
    if code in _UNSENDABLE or 1015 < code < 3000:
        raise ValueError("no close frame can have this code; for 1006, use the deed drop")
    return code


CloseCode = Annotated[int, Field(ge=1000, le=4999), AfterValidator(_sendable)]


class ConnectionControls(Protocol):
    """The connection on which an act is played."""

    @property
    def transport(self) -> Transport:
        """Of the connection."""

    async def sleep(self, seconds: float) -> None:
        """Let time pass."""

    async def interrupt(self) -> None:
        """Send ``interrupted``, and discard what the model is saying."""

    async def cancel_tools(self) -> None:
        """Cancel the tool calls that wait for their result."""

    def hold_setup(self, seconds: float | None) -> None:
        """Answer the set-up this late; None: never."""

    def hear_nothing(self, seconds: float) -> None:
        """Take what comes for so long for silence."""

    async def offer_handle(self) -> None:
        """Send a handle, whatever goes on."""

    def withhold_handles(self) -> None:
        """Say from now on that the session cannot be resumed."""

    def forget_handles(self) -> None:
        """Know none of the handles given out so far."""


class ConnectionFault(Step):
    """A step that does something to the connection."""

    async def play(self, stage: ConnectionControls) -> None:
        """Do it."""
        raise NotImplementedError


class Refuse(ConnectionFault):
    """Answers the request for the connection with an HTTP error."""

    moments = frozenset({Moment.CONNECT})
    do: Literal["refuse"]
    status: Literal[400, 401, 403, 404, 429, 500, 503]

    @override
    async def play(self, stage: ConnectionControls) -> None:
        await stage.transport.refuse(self.status)


class HoldSetup(ConnectionFault):
    """Answers the set-up late; without ``for_s``, never."""

    moments = frozenset({Moment.SETUP})
    do: Literal["hold_setup"]
    for_s: Span | None = None

    @override
    async def play(self, stage: ConnectionControls) -> None:
        stage.hold_setup(self.for_s)


class Close(ConnectionFault):
    """Closes the connection with a code and a reason; without ``reason``, what the service usually says."""

    moments = _FROM_SETUP
    do: Literal["close"]
    code: CloseCode
    reason: str | None = None

    @override
    async def play(self, stage: ConnectionControls) -> None:
        reason = REASONS.get(self.code, "") if self.reason is None else self.reason
        await stage.transport.close(self.code, reason)


class GoAway(ConnectionFault):
    """Announces the end of the connection and ends it when the time is over."""

    moments = _FROM_READY
    do: Literal["go_away"]
    time_left_s: Span
    code: CloseCode = INTERNAL_ERROR
    reason: str = DEADLINE

    @override
    async def play(self, stage: ConnectionControls) -> None:
        await stage.transport.send(encode(go_away(self.time_left_s)))
        await stage.sleep(self.time_left_s)
        await stage.transport.close(self.code, self.reason)


class Drop(ConnectionFault):
    """Is gone at once, by a TCP reset: 1006."""

    do: Literal["drop"]

    @override
    async def play(self, stage: ConnectionControls) -> None:
        stage.transport.drop()


class HalfMessage(ConnectionFault):
    """Sends the first half of a message's frame, then a TCP reset."""

    moments = _FROM_SETUP
    do: Literal["half_message"]

    @override
    async def play(self, stage: ConnectionControls) -> None:
        await stage.transport.send_half(encode(speech(np.zeros(4800, dtype=np.int16))))


class HalfClose(ConnectionFault):
    """Ends its direction of the stream without a close frame, and goes on reading."""

    moments = _FROM_SETUP
    do: Literal["half_close"]

    @override
    async def play(self, stage: ConnectionControls) -> None:
        stage.transport.half_close()


class StopReading(ConnectionFault):
    """Takes nothing more from the connection; what the client sends piles up."""

    do: Literal["stop_reading"]

    @override
    async def play(self, stage: ConnectionControls) -> None:
        stage.transport.stop_reading()


class StopSending(ConnectionFault):
    """Reads on and sends nothing more, no pong and no answer to a close frame either."""

    do: Literal["stop_sending"]

    @override
    async def play(self, stage: ConnectionControls) -> None:
        stage.transport.stop_sending()


class Freeze(ConnectionFault):
    """Neither reads nor sends any more, as when the other end has lost its power."""

    do: Literal["freeze"]

    @override
    async def play(self, stage: ConnectionControls) -> None:
        stage.transport.stop_sending()
        stage.transport.stop_reading()


class SlowPongs(ConnectionFault):
    """Answers every ping late."""

    do: Literal["slow_pongs"]
    by_s: Span

    @override
    async def play(self, stage: ConnectionControls) -> None:
        stage.transport.slow_pongs(self.by_s)


class SlowClose(ConnectionFault):
    """Answers the client's close frame late; until then the session has its connection and cannot be resumed."""

    do: Literal["slow_close"]
    by_s: Span

    @override
    async def play(self, stage: ConnectionControls) -> None:
        stage.transport.slow_close(self.by_s)


class Send(ConnectionFault):
    """Sends a message as it stands."""

    moments = _FROM_SETUP
    do: Literal["send"]
    payload: str

    @override
    async def play(self, stage: ConnectionControls) -> None:
        await stage.transport.send(self.payload.encode())


class SendLarge(ConnectionFault):
    """Sends one correct message of at least so many bytes, all silence."""

    moments = _FROM_READY
    do: Literal["send_large"]
    size_bytes: Annotated[int, Field(ge=1, le=32 << 20)]

    @override
    async def play(self, stage: ConnectionControls) -> None:
        frames = -(-self.size_bytes * 3 // 8)  # of two bytes each; base64 makes four of three
        await stage.transport.send(encode(speech(np.zeros(frames, dtype=np.int16))))


class Interrupt(ConnectionFault):
    """Interrupts the model though nobody spoke."""

    moments = _FROM_READY
    do: Literal["interrupt"]

    @override
    async def play(self, stage: ConnectionControls) -> None:
        await stage.interrupt()


class CancelTools(ConnectionFault):
    """Cancels the tool calls that wait for their result."""

    moments = _FROM_READY
    do: Literal["cancel_tools"]

    @override
    async def play(self, stage: ConnectionControls) -> None:
        await stage.cancel_tools()


class HearNothing(ConnectionFault):
    """Hears nothing of what the person says in this time; the audio is received all the same."""

    moments = _FROM_READY
    do: Literal["hear_nothing"]
    for_s: Span

    @override
    async def play(self, stage: ConnectionControls) -> None:
        stage.hear_nothing(self.for_s)


class OfferHandle(ConnectionFault):
    """Sends a handle, whatever goes on."""

    moments = frozenset(Moment) - {Moment.CONNECT, Moment.SETUP}
    do: Literal["offer_handle"]

    @override
    async def play(self, stage: ConnectionControls) -> None:
        await stage.offer_handle()


class WithholdHandles(ConnectionFault):
    """Says from now on that the session cannot be resumed."""

    moments = _FROM_SETUP
    do: Literal["withhold_handles"]

    @override
    async def play(self, stage: ConnectionControls) -> None:
        stage.withhold_handles()


class ForgetHandles(ConnectionFault):
    """Knows none of the handles given out so far, by any session."""

    do: Literal["forget_handles"]

    @override
    async def play(self, stage: ConnectionControls) -> None:
        stage.forget_handles()


AnyAct = (
    Refuse | HoldSetup | Close | GoAway | Drop | HalfMessage | HalfClose | StopReading | StopSending | Freeze
    | SlowPongs | SlowClose | Send | SendLarge | Interrupt | CancelTools | HearNothing | OfferHandle | WithholdHandles
    | ForgetHandles
)  # fmt: skip
