"""Shared by the tests of the simulator: synthesised voices, and the SDK's client pointed at a simulator."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
from google import genai
from google.genai import types
from google.genai.live import AsyncSession

from appliance.simulator.options import DEFAULT_API_KEY
from appliance.simulator.server import Simulator
from appliance.units import REPLY, UPLINK, Pcm

AUTOMATIC = {"response_modalities": ["AUDIO"]}
"""The smallest set-up; the service detects speech."""
PUSH_TO_TALK = {**AUTOMATIC, "realtime_input_config": {"automatic_activity_detection": {"disabled": True}}}
HASTY = {**AUTOMATIC, "realtime_input_config": {"automatic_activity_detection": {"silence_duration_ms": 100}}}


def loud(seconds: float, seed: int = 1) -> Pcm:
    """Noise at about -20 dBFS, 16 kHz: speech, as far as energy tells."""
    return np.random.default_rng(seed).normal(0, 3000, UPLINK.frames(seconds)).astype(np.int16)


def quiet(seconds: float, seed: int = 2) -> Pcm:
    """Noise at about -80 dBFS, 16 kHz."""
    return np.random.default_rng(seed).normal(0, 3, UPLINK.frames(seconds)).astype(np.int16)


def said(seconds: float, seed: int = 3) -> Pcm:
    """Something for the model to say, 24 kHz: no two samples in a row are easily confused."""
    return np.random.default_rng(seed).integers(-9000, 9000, REPLY.frames(seconds)).astype(np.int16)


def client(simulator: Simulator, key: str = DEFAULT_API_KEY, version: str = "v1alpha") -> genai.Client:
    context = ssl.create_default_context(cafile=simulator.ca_file)
    options = types.HttpOptions(
        base_url=simulator.base_url,
        api_version=version,
        client_args={"verify": context},
        async_client_args={"ssl": context, "verify": context, "close_timeout": 1},
    )
    return genai.Client(api_key=key, enterprise=False, http_options=options)


@asynccontextmanager
async def connected(
    simulator: Simulator, config: Any, key: str = DEFAULT_API_KEY, version: str = "v1alpha"
) -> AsyncIterator[AsyncSession]:
    """Hold one session."""
    sdk = client(simulator, key, version)
    try:
        async with sdk.aio.live.connect(model="models/gemini-3.8-live", config=config) as session:
            yield session
    finally:
        await sdk.aio.aclose()
        sdk.close()
        await asyncio.sleep(0)  # the keepalive task of a connection that broke


async def mint(simulator: Simulator, config: dict[str, Any], key: str = DEFAULT_API_KEY) -> str:
    """Have a token made; return its name."""
    sdk = client(simulator, key)
    try:
        token = await sdk.aio.auth_tokens.create(config=config)
    finally:
        await sdk.aio.aclose()
        sdk.close()
    assert token.name
    return str(token.name)


async def speak(session: AsyncSession, pcm: Pcm) -> None:
    """Send samples in chunks of 40 ms, as fast as the socket takes them."""
    for start in range(0, len(pcm), 640):
        blob = types.Blob(data=pcm[start : start + 640].tobytes(), mime_type="audio/pcm;rate=16000")
        await session.send_realtime_input(audio=blob)


async def offered_handle(session: AsyncSession) -> str:
    """Return the resumption handle that comes next."""
    async for message in session.receive():
        if message.session_resumption_update:
            return str(message.session_resumption_update.new_handle)
    raise AssertionError


async def called_tool(messages: AsyncIterator[types.LiveServerMessage]) -> types.FunctionCall:
    """Return the tool call that comes next."""
    message = await anext(messages)
    assert message.tool_call
    assert message.tool_call.function_calls
    return message.tool_call.function_calls[0]


async def turn(session: AsyncSession) -> list[Any]:
    """Return all messages up to turnComplete: typed loosely, as the SDK says of every field that it may be None."""
    return [message async for message in session.receive()]


async def until_audio(session: AsyncSession) -> list[types.LiveServerMessage]:
    """Return all messages up to the first audio."""
    messages = []
    async for message in session.receive():
        messages.append(message)
        if len(heard([message])):
            break
    return messages


def heard(messages: list[types.LiveServerMessage]) -> Pcm:
    """Return the audio in messages."""
    pcm = b"".join(
        part.inline_data.data or b""
        for message in messages
        if message.server_content and message.server_content.model_turn
        for part in message.server_content.model_turn.parts or []
        if part.inline_data
    )
    return np.frombuffer(pcm, dtype="<i2")
