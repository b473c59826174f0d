"""A WebSocket client that knows nothing but the wire: what a scenario does, seen from outside."""

import asyncio
import base64
import contextlib
import json
import ssl
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import numpy as np
from websockets.asyncio.client import ClientConnection, connect

from appliance.simulator.model.replies import Reply
from appliance.simulator.options import DEFAULT_API_KEY, SimulatorOptions
from appliance.simulator.scenario.file import load
from appliance.simulator.server import Simulator
from appliance.units import Pcm
from tests.support.simulator import loud, quiet, said

Message = dict[str, Any]
PATH = "/ws/google.ai.generativelanguage.v1alpha.GenerativeService.BidiGenerateContent"
SCALE = 0.02
"""The scenarios' times are multiplied by this: 10 s become 0.2 s."""
QUIET_S = 0.15
"""Nothing for this long is silence."""
REPLY = said(0.24)


def setup(handle: str | None = None, **fields: object) -> Message:
    """A set-up with everything asked for, and quick ears."""
    resumption = {"handle": handle} if handle else {}
    detection = {"silenceDurationMs": 100}
    return {
        "setup": {
            "model": "models/any",
            "sessionResumption": resumption,
            "inputAudioTranscription": {},
            "realtimeInputConfig": {"automaticActivityDetection": detection},
            **fields,
        }
    }


def audio(pcm: Pcm) -> Message:
    data = base64.urlsafe_b64encode(pcm.astype("<i2").tobytes()).decode()
    return {"realtime_input": {"audio": {"data": data, "mime_type": "audio/pcm;rate=16000"}}}


QUESTION = audio(np.concatenate([loud(0.2), quiet(0.2)]))


def result(call: Message, **fields: object) -> Message:
    answer = {"id": call["id"], "name": call["name"], "response": {"status": "ok"}, **fields}
    return {"toolResponse": {"functionResponses": [answer]}}


@asynccontextmanager
async def simulator(name: str, **options: Any) -> AsyncGenerator[Simulator, None]:
    """Run a shipped scenario, with its times scaled down."""
    replies = (Reply(REPLY, text="a long story", question="tell me a story"),)
    chosen = SimulatorOptions(scenarios=(load(name),), time_scale=SCALE, replies=replies, speed=4.0)
    async with Simulator(replace(chosen, **options)) as running:
        yield running


class Wire:
    """One connection."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection
        self.messages: list[Message] = []

    async def send(self, *messages: Message) -> None:
        for message in messages:
            await self.connection.send(json.dumps(message))

    async def receive(self, timeout_s: float = 20.0) -> Message:
        """The next message; raises ConnectionClosed, and TimeoutError."""
        async with asyncio.timeout(timeout_s):
            message: Message = json.loads(await self.connection.recv())
        self.messages.append(message)
        return message

    async def until(self, wanted: Callable[[Message], object]) -> Message:
        while not wanted(message := await self.receive()):
            pass
        return message

    async def until_quiet(self) -> list[Message]:
        """All messages up to the silence; raises ConnectionClosed."""
        with contextlib.suppress(TimeoutError):
            while True:
                await self.receive(QUIET_S)
        return self.messages


@asynccontextmanager
async def dial(running: Simulator, **options: Any) -> AsyncGenerator[Wire, None]:
    """Hold a connection whose set-up is still to be sent."""
    context = ssl.create_default_context(cafile=running.ca_file)
    async with connect(
        running.base_url.replace("https", "wss") + PATH,
        ssl=context,
        additional_headers={"x-goog-api-key": DEFAULT_API_KEY},
        **{"compression": None, "ping_interval": None, "close_timeout": 0.1, "max_size": 1 << 20, **options},
    ) as connection:
        yield Wire(connection)


@asynccontextmanager
async def talking(running: Simulator, handle: str | None = None, **fields: object) -> AsyncGenerator[Wire, None]:
    """Hold a connection whose set-up was answered."""
    async with dial(running) as wire:
        await wire.send(setup(handle, **fields))
        await wire.until(lambda message: "setupComplete" in message)
        yield wire


def content(message: Message) -> Message:
    found: Message = message.get("serverContent", {})
    return found


def turn_complete(message: Message) -> bool:
    return "turnComplete" in content(message)


def heard(messages: list[Message]) -> Pcm:
    parts = [part for message in messages for part in content(message).get("modelTurn", {}).get("parts", [])]
    return np.frombuffer(b"".join(base64.b64decode(part["inlineData"]["data"]) for part in parts), dtype="<i2")


def handles(messages: list[Message]) -> list[str]:
    updates = [message["sessionResumptionUpdate"] for message in messages if "sessionResumptionUpdate" in message]
    return [update["newHandle"] for update in updates if update.get("newHandle")]
