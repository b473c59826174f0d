"""Links and tokens of the simulated service, without the SDK and without sockets: for tests in virtual time."""

import asyncio
import base64
import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    AsyncExitStack,
    asynccontextmanager,
    nullcontext,
    suppress,
)
from dataclasses import dataclass, field
from math import inf
from typing import Any, Final, Protocol

from google.genai import types

from appliance.clock import timeout
from appliance.core.state import Mode
from appliance.errors import LinkCause, LinkError, ProvisioningError
from appliance.live.failures import ConnectionFailure, FailureKind, Phase, classify
from appliance.live.gemini.connection import MAX_UNREADABLE
from appliance.live.gemini.translate import translate
from appliance.live.gemini.transport import DeliveryTracker
from appliance.live.messages import LinkMessage
from appliance.live.model_capabilities import Feature, capabilities
from appliance.live.ports import HistorySeed, LiveToken, OptionalFeature, Request, SeedMethod, ToolResult, Traffic
from appliance.simulator.in_memory_server import (
    ConnectionEndedError,
    SimulatedService,
    SimulatedSession,
    UpgradeRefusedError,
)
from appliance.simulator.ports import Caller
from appliance.units import Seconds
from tests.support.websocket import setup

MODEL: Final = "gemini-3.8-live"
UPGRADE_S: Final = 4.0
SETUP_S: Final = 6.0
CLOSE_S: Final = 1.2
MAX_BYTES: Final = 16 << 20
"""Limits of the true link (`appliance.live.gemini.connection`)."""


def ended(phase: Phase, error: ConnectionEndedError | UpgradeRefusedError | TimeoutError) -> LinkError:
    """Translate the end of a connection as the SDK's exceptions are (`live.gemini.translate.classify`)."""
    match error:
        case ConnectionEndedError():
            ending = ConnectionFailure(phase, FailureKind.CLOSED, error.code, error.reason)
        case UpgradeRefusedError():
            ending = ConnectionFailure(phase, FailureKind.ANSWERED, error.status)
        case _:
            ending = ConnectionFailure(phase, FailureKind.TIMEOUT)
    decision = classify(ending)
    return LinkError(f"{ending.kind.value} {ending.code}: {ending.reason}", decision.cause, decision.action)


def read(payload: bytes) -> list[LinkMessage]:
    """Parse one message. Raises ValueError where the SDK cannot read it, LinkError where it ends the link."""
    received = json.loads(payload or b"{}")
    if isinstance(received, dict) and isinstance(received.get("code"), int):
        decision = classify(ConnectionFailure(Phase.OPEN, FailureKind.ANSWERED, received["code"], str(received)))
        raise LinkError(f"answered {received['code']}", decision.cause, decision.action)
    if isinstance(received, dict) and isinstance(activity := received.get("voiceActivity"), dict):
        activity["voiceActivityType"] = activity.pop("type", None)  # as the SDK renames it
    return list(translate(types.LiveServerMessage.model_validate(received)))


class Line(Protocol):
    """An open connection, as the appliance's end has it (`SimulatedSession`)."""

    @property
    def sent_bytes(self) -> int: ...
    @property
    def unread_bytes(self) -> int: ...
    async def send(self, message: dict[str, Any]) -> None: ...
    async def receive_raw(self) -> bytes: ...
    async def close(self) -> None: ...
    def drop(self) -> None: ...


class Relay:
    """Acknowledges everything at once and hands it on ``delay_s`` later, in both directions; ends with its line."""

    def __init__(self, line: Line, delay_s: float) -> None:
        self._line = line
        self._delay_s = delay_s
        self._up: asyncio.Queue[tuple[float, dict[str, Any]]] = asyncio.Queue()
        self._down: asyncio.Queue[tuple[float, bytes | ConnectionEndedError]] = asyncio.Queue()
        self._ending: ConnectionEndedError | None = None
        self.sent_bytes = 0
        self.unread_bytes = 0

    async def send(self, message: dict[str, Any]) -> None:
        if self._ending is not None:
            raise self._ending
        self.sent_bytes += len(json.dumps(message))
        self._up.put_nowait((asyncio.get_running_loop().time() + self._delay_s, message))

    async def receive_raw(self) -> bytes:
        at, payload = await self._down.get()
        await asyncio.sleep(at - asyncio.get_running_loop().time())
        if isinstance(payload, bytes):
            return payload
        self._ending = payload
        raise payload

    async def close(self) -> None:
        await self._up.join()  # in order: what was sent before it arrives first
        await self._line.close()

    def drop(self) -> None:
        self._line.drop()

    async def upwards(self) -> None:
        with suppress(ConnectionEndedError):
            while True:
                at, message = await self._up.get()
                await asyncio.sleep(at - asyncio.get_running_loop().time())
                await self._line.send(message)
                self._up.task_done()

    async def downwards(self) -> None:
        received: bytes | ConnectionEndedError = b""
        while isinstance(received, bytes):
            try:
                received = await self._line.receive_raw()
            except ConnectionEndedError as ending:
                received = ending
            self._down.put_nowait((asyncio.get_running_loop().time() + self._delay_s, received))


@asynccontextmanager
async def relayed(line: Line, delay_s: float) -> AsyncIterator[Line]:
    relay = Relay(line, delay_s)
    async with asyncio.TaskGroup() as tasks:
        pumps = [tasks.create_task(relay.upwards()), tasks.create_task(relay.downwards())]
        yield relay
        for pump in pumps:
            pump.cancel()


class SimulatedLink:
    """`live.ports.Link` over a connection in memory."""

    def __init__(self, session: Line, model: str, mode: Mode, on_audio: Callable[[], None]) -> None:
        self.mode = mode
        self.offered: list[tuple[float, bytes]] = []
        """The audio that it was handed, and when."""
        self.closed_at = inf
        """Loop time."""
        self._session = session
        self._known = capabilities(model)
        self._on_audio = on_audio
        self._delivery = DeliveryTracker()
        self._sent = 0
        self.audio: list[bytes] = []
        """Audio that was sent to the service."""

    async def messages(self) -> AsyncGenerator[LinkMessage, None]:
        strange = 0
        while True:
            try:
                items = read(await self._receive())
            except ConnectionEndedError as error:
                raise ended(Phase.OPEN, error) from None
            except ValueError:
                strange += 1
                if strange >= MAX_UNREADABLE:
                    raise LinkError("strange", LinkCause.PROTOCOL) from None
                continue
            strange = 0
            for item in items:
                yield item

    async def _receive(self) -> bytes:
        payload = await self._session.receive_raw()
        if len(payload) > MAX_BYTES:
            self._session.drop()
            raise ConnectionEndedError(1009, "message too big")
        return payload

    async def _send(self, message: dict[str, Any]) -> None:
        self._sent += 1
        try:
            await self._session.send(message)
        except ConnectionEndedError as error:
            raise ended(Phase.OPEN, error) from None

    async def send_audio(self, pcm: bytes) -> None:
        audio = {"data": base64.urlsafe_b64encode(pcm).decode(), "mimeType": "audio/pcm;rate=16000"}
        self._on_audio()
        self.offered.append((asyncio.get_running_loop().time(), pcm))
        await self._send({"realtimeInput": {"audio": audio}})
        self._on_audio()
        self.audio.append(pcm)
        self._delivery.sent(len(pcm) // 2, self._session.sent_bytes, self._sent)

    async def send_activity_start(self) -> None:
        await self._send({"realtimeInput": {"activityStart": {}}})

    async def send_activity_end(self) -> None:
        await self._send({"realtimeInput": {"activityEnd": {}}})

    async def send_audio_stream_end(self) -> None:
        await self._send({"realtimeInput": {"audioStreamEnd": True}})

    async def send_text(self, text: str) -> None:
        await self._send({"realtimeInput": {"text": text}})

    async def send_seed(self, seed: HistorySeed) -> None:
        turns = [{"role": turn.role.value, "parts": [{"text": turn.text}]} for turn in seed.turns]
        await self._send({"clientContent": {"turns": turns, "turnComplete": seed.method is SeedMethod.INITIAL_HISTORY}})

    async def send_tool_result(self, result: ToolResult) -> None:
        answer: dict[str, Any] = {"id": result.call, "name": result.name, "response": dict(result.response)}
        if result.scheduling is not None and self._known.has(Feature.TOOL_SCHEDULING):
            answer["scheduling"] = result.scheduling.value
        await self._send({"toolResponse": {"functionResponses": [answer]}})

    def traffic(self) -> Traffic | None:
        return Traffic(self._session.sent_bytes, self._session.unread_bytes)

    def undelivered(self) -> int:
        return self._delivery.undelivered(self._session.sent_bytes - self._session.unread_bytes)

    def unconsumed(self, consumed: int | None) -> int:
        return self.undelivered() if consumed is None else self._delivery.unconsumed(consumed)


@dataclass
class SimulatedConnector:
    """Opens links to a service in memory, with tokens of that service."""

    service: SimulatedService
    on_attempt: Callable[[Request], None] = lambda _: None
    detection: dict[str, int] = field(default_factory=dict)
    """Parameters of the service's speech detection, apart from whether it is on."""
    interruption: str = "START_OF_ACTIVITY_INTERRUPTS"
    on_audio: Callable[[], None] = lambda: None
    """Called as audio is handed over, and once it has been taken."""
    through: Callable[[SimulatedSession], AbstractAsyncContextManager[Line]] = nullcontext
    """The line between the appliance and the service."""
    links: list[SimulatedLink] = field(default_factory=list)
    connections: int = 0

    def optional_features(self, model: str, request: Request) -> frozenset[OptionalFeature]:
        return frozenset({OptionalFeature.VOCABULARY, OptionalFeature.TRANSCRIPTION}) - request.omitted_features

    def config_hash(self, model: str) -> str:
        return model

    @asynccontextmanager
    async def open(self, token: LiveToken, request: Request) -> AsyncIterator[SimulatedLink]:
        self.on_attempt(request)
        caller = Caller(constrained=True, version="v1alpha", credential=token.value)
        async with AsyncExitStack() as stack:
            try:
                async with asyncio.timeout(UPGRADE_S):
                    session = await stack.enter_async_context(self.service.connect(caller))
                async with asyncio.timeout(SETUP_S):
                    await session.send({"setup": self._wanted(request, token.model)})
                    while b'"setupComplete"' not in await session.receive_raw():
                        pass
            except (ConnectionEndedError, UpgradeRefusedError, TimeoutError) as error:
                raise ended(Phase.OPENING, error) from None
            line = await stack.enter_async_context(self.through(session))
            link = SimulatedLink(line, token.model, request.mode, self.on_audio)
            self.links.append(link)
            assert self.connections == 0, "the service refuses a second connection of a session"
            self.connections += 1
            try:
                yield link
            finally:
                link.closed_at = asyncio.get_running_loop().time()
                await _hang_up(line)
                self.connections -= 1

    def _wanted(self, request: Request, model: str) -> dict[str, Any]:
        level = capabilities(model).thinking_level
        detection = {**self.detection, "disabled": request.mode is Mode.PUSH_TO_TALK}
        return {
            **setup(request.handle)["setup"],
            "model": f"models/{model}",
            **({"generationConfig": {"thinkingConfig": {"thinkingLevel": level}}} if level else {}),
            "realtimeInputConfig": {"automaticActivityDetection": detection, "activityHandling": self.interruption},
            **({} if OptionalFeature.TRANSCRIPTION in request.omitted_features else {"outputAudioTranscription": {}}),
            **({"historyConfig": {"initialHistoryInClientContent": True}} if request.seeded else {}),
        }


async def _hang_up(session: Line) -> None:
    try:
        async with timeout(CLOSE_S):
            await session.close()
    except TimeoutError:
        session.drop()


@dataclass
class SimulatedTokens:
    """Has tokens made by the service, each after ``delay_s``, or fails with ``error``."""

    service: SimulatedService
    delay_s: float = 0.05
    error: ProvisioningError | None = None
    model: str = MODEL
    fetched: int = 0

    async def fetch(self, mode: Mode, *, resume: bool) -> LiveToken:
        self.fetched += 1
        await asyncio.sleep(self.delay_s)
        if self.error:
            raise self.error
        now = asyncio.get_running_loop().time()
        name = self.service.mint()
        return LiveToken(name, self.model, "v1alpha", None, Seconds(now), Seconds(now + 60), Seconds(now + 1800))

    def track_link(self, token: LiveToken) -> AbstractContextManager[None]:
        return nullcontext()
