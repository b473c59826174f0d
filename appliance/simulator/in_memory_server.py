"""The service without sockets, for tests in virtual time: connections are pipes in memory.

Nothing here waits for a thread or a socket; the only clock is the running loop's.
"""

import asyncio
import json
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, Final, Self

from appliance.clock import timeout
from appliance.simulator.connection import serve_connection
from appliance.simulator.contract.messages import ABNORMAL, NORMAL, Message, encode
from appliance.simulator.options import SimulatorOptions
from appliance.simulator.ports import Caller
from appliance.simulator.record import SessionRecord
from appliance.simulator.service import Service
from appliance.units import Pcm

_CAPACITY: Final = 256
"""Messages in flight in each direction; beyond it, the sender waits."""
_CLOSING_S: Final = 10.0
"""The client's wait for the answer to its close frame."""


class UpgradeRefusedError(Exception):
    """The service answered the connection request with this HTTP status."""

    def __init__(self, status: int) -> None:
        super().__init__(f"HTTP {status}")
        self.status = status


class ConnectionEndedError(Exception):
    """The connection has ended with this close code and reason; 1006 without a close frame."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"{code}: {reason}")
        self.code = code
        self.reason = reason


class SimulatedSession:
    """The client's end of one connection. One task receives; any task of the same loop may send."""

    def __init__(self, transport: "MemoryTransport") -> None:
        self._transport = transport
        self.sent_bytes = 0
        """Bytes of all messages, including those that wait for room."""

    async def send(self, message: Message) -> None:
        """Send a message, waiting while the service has too many to read; raises ConnectionEndedError."""
        self._transport.check()
        payload = encode(message)
        self.sent_bytes += len(payload)
        await self._transport.inbox.put(payload)
        self._transport.check()

    @property
    def unread_bytes(self) -> int:
        """Bytes that the service has not read yet, without those that wait for room."""
        return self._transport.inbox.size

    async def receive_raw(self) -> bytes:
        """Return the service's next message unparsed; raises ConnectionEndedError after the last."""
        payload = await self._transport.outbox.get()
        if payload is None:
            raise self._transport.ending
        return payload

    async def receive(self) -> dict[str, Any]:
        """Return the service's next message.

        Raises:
            ConnectionEndedError: The connection has ended, and no message is left.
            ValueError: The message is not JSON: a fault.
        """
        message: dict[str, Any] = json.loads(await self.receive_raw())
        return message

    async def exchange(self, *messages: Message) -> list[dict[str, Any]]:
        """Send messages, then return those received up to the end of the turn.

        A turn ends with a turnComplete that is not IN_PROGRESS. Raises the same errors as `receive`.
        """
        for message in messages:
            await self.send(message)
        answers = []
        while True:
            answers.append(await self.receive())
            content = answers[-1].get("serverContent", {})
            if content.get("turnComplete") and content.get("interactionStatus") != "IN_PROGRESS":
                return answers

    async def ping(self) -> None:
        """Return when the pong has arrived; raises ConnectionEndedError."""
        await self._transport.pong()

    async def close(self) -> None:
        """Close with 1000 and wait at most 10 s for the service's answer; messages until then are discarded."""
        self._transport.inbox.finish()
        try:
            async with timeout(_CLOSING_S):
                while await self._transport.outbox.get() is not None:
                    pass
        except TimeoutError:
            self._transport.drop()

    def drop(self) -> None:
        """End without a close frame, like a device that has lost power."""
        self._transport.drop()


class SimulatedService:
    """A Live service that runs inside ``async with``; leaving ends every connection at once.

    Entering raises InputError if a reply cannot be used.
    """

    def __init__(self, options: SimulatorOptions | None = None) -> None:
        self._options = options or SimulatorOptions()
        self._tasks = asyncio.TaskGroup()
        self._connections: set[asyncio.Task[None]] = set()

    @property
    def sessions(self) -> list[SessionRecord]:
        """The records of the last 100 connections, in the order of their set-ups."""
        return self._service.sessions

    def received(self, session: int) -> Pcm:
        """Return the samples received in a session (`SessionRecord.session`) over all its connections; 16 kHz mono."""
        return self._service.received(session)

    def mint(self, **request: object) -> str:
        """Return the name of a new token; ``request`` is the body of a POST to auth_tokens, in camelCase."""
        return self._service.tokens.mint(request)

    async def __aenter__(self) -> Self:
        self._service = Service(self._options, asyncio.get_running_loop().time)
        await self._tasks.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for connection in self._connections:
            connection.cancel()
        # An error of the body is not wrapped in a group.
        if isinstance(error, asyncio.CancelledError):
            await self._tasks.__aexit__(kind, error, traceback)
        else:
            await self._tasks.__aexit__(None, None, None)

    @asynccontextmanager
    async def connect(self, caller: Caller | None = None) -> AsyncGenerator[SimulatedSession, None]:
        """Open a connection without a set-up; ``caller`` is by default the holder of the API key.

        Leaving drops the connection unless it was closed before. Raises UpgradeRefusedError, and ConnectionEndedError
        if the service drops the connection before it answers.
        """
        transport = MemoryTransport(self._options.idle_s)
        sender = caller or Caller(constrained=False, version="v1alpha", credential=self._options.api_key)
        task = self._tasks.create_task(self._serve(transport, sender))
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)
        try:
            await transport.upgraded()
            yield SimulatedSession(transport)
        finally:
            transport.drop()

    async def _serve(self, transport: "MemoryTransport", caller: Caller) -> None:
        try:
            await serve_connection(transport, caller, self._service)
        finally:
            transport.drop()

    @asynccontextmanager
    async def open(self, setup: Message, caller: Caller | None = None) -> AsyncGenerator[SimulatedSession, None]:
        """Open a connection and wait for setupComplete; raises the same errors as `connect`."""
        async with self.connect(caller) as session:
            await session.send({"setup": setup})
            while "setupComplete" not in await session.receive():
                pass
            yield session


class MemoryTransport:
    """The service's end of one connection (`ports.Transport`)."""

    def __init__(self, idle_s: float) -> None:
        self.inbox = _Pipe()
        self.outbox = _Pipe()
        self.close_code = ABNORMAL
        self.ending = ConnectionEndedError(ABNORMAL, "")
        self._idle_s = idle_s
        self._decided = asyncio.Event()
        self._status = 101
        self._deaf = False
        self._sending = True
        self._pong_delay_s = 0.0
        self._close_delay_s = 0.0

    @property
    def closing(self) -> bool:
        """The service has closed or dropped it, or it has ended: further messages are ignored."""
        return self.outbox.finished and self._sending

    @property
    def ended(self) -> bool:
        """The close handshake is over, or the connection is lost; one that is no longer read counts as lost."""
        return self.outbox.finished or self._deaf

    async def upgraded(self) -> None:
        """Wait for the answer to the client's request; raises UpgradeRefusedError, ConnectionEndedError."""
        await self._decided.wait()
        if self._status != 101:
            raise UpgradeRefusedError(self._status)
        self.check()

    def check(self) -> None:
        """Raise ConnectionEndedError if the client knows of the end."""
        if self.outbox.finished:
            raise self.ending

    async def pong(self) -> None:
        """Return when the service has answered a ping, which a deaf or mute service never does."""
        if self._deaf or not self._sending:
            await self.outbox.wait_for_end()
        await asyncio.sleep(self._pong_delay_s)
        self.check()

    async def accept(self) -> None:
        """Accept the request."""
        if self._sending:
            self._decided.set()

    async def refuse(self, status: int) -> None:
        """Answer the request with an HTTP error; ends the connection."""
        self._status = status
        self._decided.set()
        self._finish(ABNORMAL, "")

    async def receive(self) -> bytes | None:
        """Return the next message; None once the connection has ended or was idle for too long."""
        try:
            async with timeout(self._idle_s):
                await self.inbox.ready()
                if self._deaf:
                    await self.outbox.wait_for_end()
                    return None
                payload = await self.inbox.get()
        except TimeoutError:
            return None
        if payload is None and not self.outbox.finished and self._sending:
            await asyncio.sleep(self._close_delay_s)
            self._finish(NORMAL, "")
        return payload

    async def send(self, payload: bytes) -> None:
        """Send a message, waiting while the client has too many to read; ignored once the connection is ending."""
        if self._sending:
            await self.outbox.put(payload)

    async def close(self, code: int, reason: str) -> None:
        """Send a close frame, or drop if nothing is sent any more; `receive` then returns None."""
        if self._sending:
            self._finish(code, reason)
        else:
            self.drop()

    def drop(self) -> None:
        """End at once without a close frame."""
        self._finish(ABNORMAL, "")

    async def send_half(self, payload: bytes) -> None:  # noqa: ARG002  nothing of half a message arrives
        """End in the middle of a message."""
        self.drop()

    def half_close(self) -> None:
        """End the service's direction without a close frame, and go on reading."""
        self._sending = False
        self.outbox.finish()
        self._decided.set()

    def stop_reading(self) -> None:
        """Read nothing more; the client's messages pile up."""
        self._deaf = True

    def stop_sending(self) -> None:
        """Send nothing more, pongs and close frames included."""
        self._sending = False

    def slow_pongs(self, seconds: float) -> None:
        """Delay every pong by this time."""
        self._pong_delay_s = seconds

    def slow_close(self, seconds: float) -> None:
        """Delay the answer to the client's close frame by this time."""
        self._close_delay_s = seconds

    def _finish(self, code: int, reason: str) -> None:
        if not self.outbox.finished:
            self.close_code = code
            self.ending = ConnectionEndedError(code, reason)
        self.outbox.finish()
        self.inbox.finish()
        self._decided.set()


class _Pipe:
    """Messages in one direction, for one reader."""

    def __init__(self) -> None:
        self._messages: deque[bytes] = deque()
        self._ready = asyncio.Event()
        """There is a message, or the pipe has ended."""
        self._room = asyncio.Event()
        """There is room, or the pipe has ended."""
        self._room.set()
        self._ended = asyncio.Event()

    @property
    def finished(self) -> bool:
        """Nothing more can be put in; the messages inside can still be read."""
        return self._ended.is_set()

    @property
    def size(self) -> int:
        """Bytes of the messages inside."""
        return sum(map(len, self._messages))

    async def put(self, payload: bytes) -> None:
        """Add a message, waiting for room; ignored once the pipe has ended."""
        while len(self._messages) >= _CAPACITY and not self.finished:
            self._room.clear()
            await self._room.wait()
        if self.finished:
            return
        self._messages.append(payload)
        self._ready.set()

    async def ready(self) -> None:
        """Wait until there is a message, or the end."""
        await self._ready.wait()

    async def get(self) -> bytes | None:
        """Return the next message; None after the last."""
        await self._ready.wait()
        if not self._messages:
            return None
        payload = self._messages.popleft()
        self._room.set()
        if not self._messages and not self.finished:
            self._ready.clear()
        return payload

    def finish(self) -> None:
        """End the pipe."""
        for event in (self._ended, self._ready, self._room):
            event.set()

    async def wait_for_end(self) -> None:
        """Wait until the pipe has ended."""
        await self._ended.wait()
