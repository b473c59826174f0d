"""Processor and memory cost of the link, next to a bare WebSocket client that does the same.

Each function runs in a process of its own; the other end is another one.
"""

import asyncio
import base64
import gc
import json
import os
import ssl
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from statistics import median
from typing import Final

import numpy as np
from google import genai
from google.genai import types
from google.genai.live import AsyncSession
from websockets.asyncio.client import ClientConnection, connect

from appliance.audio.capture.microphone_buffer import MicrophoneBuffer
from appliance.audio.capture.uplink import Uplink
from appliance.audio.ports import Block
from appliance.config.load import load
from appliance.conversation import Moment
from appliance.core.effects import CloseLink, OpenLink, Session
from appliance.core.events import ButtonPressed, ButtonReleased, Event, LinkOpened, Press, ReplyEnded, WakeDetected
from appliance.core.state import Gate, Mode, State
from appliance.daemon import Appliance
from appliance.live.connecting.connector import Connector, Sources
from appliance.live.gemini.connection import GeminiConnector
from appliance.live.gemini.setup import live_config
from appliance.live.ports import LiveToken, Request
from appliance.live.session.callbacks import Callbacks
from appliance.live.session.machine import SessionMachine
from appliance.live.session.manager import SessionManager
from appliance.live.session.receiver import Dependencies
from appliance.live.session.state import Limits
from appliance.live.transcript import TranscriptRecorder
from appliance.live.usage.pricing import Caps
from appliance.live.usage.recorder import UsageRecorder
from appliance.net.event_loop import HappyEyeballsLoop
from appliance.simulator.options import DEFAULT_API_KEY
from appliance.units import UPLINK, Epoch, SampleIndex, Seconds
from tests.benchmarks.live_far_end import SESSION_MESSAGES
from tests.benchmarks.live_house import House, WarmToken, any_token, mint, reach, until
from tests.support.live import FakeStore

WAKES: Final = 30
TALK_S: Final = 20.0
SESSIONS: Final = 1_000
WARM_UP: Final = 500
"""Sessions before memory counts."""
PERIOD_S: Final = 0.02
_SILENT_PERIOD: Final = bytes(2 * UPLINK.frames(PERIOD_S))
_PATH: Final = "/ws/google.ai.generativelanguage.v1alpha.GenerativeService.BidiGenerateContentConstrained"


@dataclass(frozen=True, slots=True)
class Pair:
    """Ours, and that of a bare client in the same run."""

    ours: float
    bare: float


# Connecting


def connecting(base_url: str, ca_file: Path) -> Pair:
    """Return the processor time from the wake word to setupComplete, in ms, and that of the bare handshake."""
    with asyncio.Runner(loop_factory=HappyEyeballsLoop) as runner:
        return runner.run(_connecting(base_url, ca_file))


async def _connecting(base_url: str, ca_file: Path) -> Pair:
    token = await mint(base_url, ca_file)
    house = House(token, ca_file, {"conversation": {"memory_s": 0}})
    ours: list[float] = []
    begun = 0.0

    def see(moment: Moment) -> None:
        if isinstance(moment.event, LinkOpened):
            ours.append((time.process_time() - begun) * 1000)

    house.on_moment = see
    async with house.living() as appliance:
        await reach(appliance, State.IDLE)
        trust = ssl.create_default_context(cafile=ca_file)
        set_up = _set_up(house, token)
        bare: list[float] = []
        for _ in range(WAKES):
            await asyncio.sleep(0.1)
            begun = time.process_time()
            appliance.conversation.post(WakeDetected(house.room.next))
            await reach(appliance, State.LISTENING)
            _tap(appliance)
            await reach(appliance, State.IDLE)
            await asyncio.sleep(0.1)
            bare.append(await _handshake(base_url, trust, token.value, set_up))
    return Pair(median(ours), median(bare))


def _tap(appliance: Appliance) -> None:
    """End the conversation at once."""
    end = appliance.ring.end
    appliance.conversation.post(ButtonPressed(end))
    appliance.conversation.post(ButtonReleased(Press.TAP, end))


def _set_up(house: House, token: LiveToken) -> str:
    """Return a set-up that asks for much the same, as it is on the wire."""
    config = live_config(house.settings.live, token.model, Request(Mode.HANDS_FREE), ())
    asked = config.model_dump(mode="json", exclude_none=True, by_alias=True)
    names = ("systemInstruction", "inputAudioTranscription", "outputAudioTranscription", "sessionResumption")
    known = {name: asked[name] for name in names if name in asked}
    return json.dumps({"setup": {"model": f"models/{token.model}", **known}})


async def _handshake(base_url: str, trust: ssl.SSLContext, token: str, set_up: str) -> float:
    """Return the processor time from nothing to setupComplete, in ms."""
    begun = time.process_time()
    async with _bare(base_url, trust, token) as connection:
        await connection.send(set_up)
        if b"setupComplete" not in await connection.recv(decode=False):
            raise RuntimeError("the set-up of the bare client was not answered")
        return (time.process_time() - begun) * 1000


@asynccontextmanager
async def _bare(base_url: str, trust: ssl.SSLContext, token: str) -> AsyncIterator[ClientConnection]:
    async with connect(
        base_url.replace("https", "wss") + _PATH,
        ssl=trust,
        additional_headers={"Authorization": f"Token {token}", "x-goog-api-key": token},
        compression=None,
        proxy=None,
        close_timeout=1,
    ) as connection:
        yield connection


# Talking


@dataclass(frozen=True, slots=True)
class Talk:
    """Share of a core that both directions take, in percent; without the clock that stands for the microphone."""

    ours: float
    sdk: float
    """Google's SDK, by itself."""
    bare: float
    clock: float
    """The microphone's clock, by itself."""


def talking(base_url: str, ca_file: Path) -> Talk:
    """Return what both directions take of a core."""
    with asyncio.Runner(loop_factory=HappyEyeballsLoop) as runner:
        clock = runner.run(_percent(lambda _: None, UPLINK.frames(PERIOD_S), None))
        ours, sdk, bare = (
            runner.run(talk(base_url, ca_file)) - clock for talk in (_talking, _talking_by_sdk, _talking_barely)
        )
        return Talk(ours, sdk, bare, clock)


class _Ear:
    """Hears everything at once; implements `live.session.callbacks.Playback`."""

    def __init__(self) -> None:
        self.samples = 0

    async def write(self, epoch: Epoch, pcm: bytes) -> None:
        self.samples += len(pcm) // 2

    def heard(self, epoch: Epoch, now: Seconds) -> int:
        return self.samples


@dataclass
class _Desk:
    """A manager that runs, and what it is joined to."""

    manager: SessionManager
    uplink: Uplink
    ring: MicrophoneBuffer
    ear: _Ear
    events: list[Event]


@asynccontextmanager
async def _keeping(base_url: str, ca_file: Path, name: str = "auth_tokens/none") -> AsyncIterator[_Desk]:
    """Run the link and all that keeps it, without the rest of the daemon."""
    settings = load([], {"live": {"ca_file": str(ca_file)}}).settings
    gemini = GeminiConnector(settings.live, ())
    await gemini.warm_up()
    recorder, events, ear = TranscriptRecorder(), list[Event](), _Ear()
    sources = Sources(WarmToken(any_token(base_url, name)), gemini, FakeStore())
    connector = Connector(sources, recorder.transcript, memory_s=0, today=_today)
    meter = UsageRecorder(Caps(), FakeStore(), _today)
    ring = MicrophoneBuffer(30.0)
    uplink = Uplink(ring)
    callbacks = Callbacks(events.append, lambda _: None, lambda: None, lambda _: None, lambda _: None)
    manager = SessionManager(Dependencies(connector, SessionMachine(Limits()), meter, recorder), uplink, ear, callbacks)
    async with asyncio.TaskGroup() as tasks:
        works = [tasks.create_task(manager.run()), tasks.create_task(uplink.run())]
        yield _Desk(manager, uplink, ring, ear, events)
        for work in works:
            work.cancel()


def _today() -> date:
    return date(2026, 11, 20)


async def _talking(base_url: str, ca_file: Path) -> float:
    async with _keeping(base_url, ca_file) as desk:
        noise = np.random.default_rng(5).integers(-3000, 3000, UPLINK.frames(1.0)).astype(np.int16)
        desk.uplink.begin(SampleIndex(0), Mode.HANDS_FREE)
        desk.uplink.set_gate(Gate.OPEN)
        desk.manager.open(OpenLink(1, Mode.HANDS_FREE, Session.CONTINUE_IF_RECENT))
        await until(lambda: desk.ear.samples)

        def microphone(at: int) -> None:
            start = at % len(noise)
            samples = noise[start : start + UPLINK.frames(PERIOD_S)]
            desk.ring.append(Block(SampleIndex(at), samples, Seconds(0.0)))
            desk.uplink.notify()

        percent = await _percent(
            microphone, UPLINK.frames(PERIOD_S), lambda: (desk.uplink.counts.sent, desk.ear.samples)
        )
        desk.manager.close(CloseLink(1))
        await desk.manager.closed()
        return percent


async def _talking_barely(base_url: str, ca_file: Path) -> float:
    trust = ssl.create_default_context(cafile=ca_file)
    queue: asyncio.Queue[bytes] = asyncio.Queue()
    received = sent = 0

    async def read(connection: ClientConnection) -> None:
        nonlocal received
        async for message in connection:
            for part in json.loads(message).get("serverContent", {}).get("modelTurn", {}).get("parts", ()):
                received += len(base64.b64decode(part["inlineData"]["data"])) // 2

    async def write(connection: ClientConnection) -> None:
        nonlocal sent
        while True:
            pcm = await queue.get() + await queue.get()
            audio = {"data": base64.b64encode(pcm).decode(), "mimeType": "audio/pcm;rate=16000"}
            await connection.send(json.dumps({"realtimeInput": {"audio": audio}}))
            sent += len(pcm) // 2

    async with _bare(base_url, trust, DEFAULT_API_KEY) as connection, asyncio.TaskGroup() as tasks:
        await connection.send('{"setup": {"model": "models/any"}}')
        works = [tasks.create_task(work(connection)) for work in (read, write)]
        await until(lambda: received)
        percent = await _percent(
            lambda _: queue.put_nowait(_SILENT_PERIOD), UPLINK.frames(PERIOD_S), lambda: (sent, received)
        )
        for work in works:
            work.cancel()
        return percent


async def _talking_by_sdk(base_url: str, ca_file: Path) -> float:
    trust = ssl.create_default_context(cafile=ca_file)
    options = types.HttpOptions(
        base_url=base_url, api_version="v1alpha", async_client_args={"ssl": trust, "compression": None, "proxy": None}
    )
    client = genai.Client(api_key="auth_tokens/none", http_options=options)
    queue: asyncio.Queue[bytes] = asyncio.Queue()
    received = sent = 0

    async def read(session: AsyncSession) -> None:
        nonlocal received
        while True:
            async for message in session.receive():
                received += len(message.data or b"") // 2

    async def write(session: AsyncSession) -> None:
        nonlocal sent
        while True:
            pcm = await queue.get() + await queue.get()
            await session.send_realtime_input(audio=types.Blob(data=pcm, mime_type="audio/pcm;rate=16000"))
            sent += len(pcm) // 2

    async with client.aio.live.connect(model="any") as session, asyncio.TaskGroup() as tasks:
        works = [tasks.create_task(work(session)) for work in (read, write)]
        await until(lambda: received)
        percent = await _percent(
            lambda _: queue.put_nowait(_SILENT_PERIOD), UPLINK.frames(PERIOD_S), lambda: (sent, received)
        )
        for work in works:
            work.cancel()
        return percent


async def _percent(
    microphone: Callable[[int], None], period: int, counts: Callable[[], tuple[int, int]] | None
) -> float:
    """Feed a microphone in real time; return what of a core that took. Raises RuntimeError where something is lost.

    ``counts`` tells of the samples sent and received; None: there are none.
    """
    loop = asyncio.get_running_loop()
    before = counts() if counts else (0, 0)
    cpu, begun, at = time.process_time(), loop.time(), 0
    while at < UPLINK.frames(TALK_S):
        at += period
        await asyncio.sleep(begun + UPLINK.duration(at) - loop.time())
        microphone(at - period)
    percent = (time.process_time() - cpu) / (loop.time() - begun) * 100
    if counts is None:
        return percent
    sent, received = (after - earlier for after, earlier in zip(counts(), before, strict=True))
    if sent < 0.98 * UPLINK.frames(TALK_S) or received < 0.98 * 24_000 * TALK_S:
        raise RuntimeError(f"only {sent} samples were sent and {received} received")
    return percent


# Memory


@dataclass(frozen=True, slots=True)
class Grown:
    """Growth that sessions have left behind."""

    rss_mb: float
    messages: int
    sessions: int
    files: int
    """Descriptors more than before."""


def growing(base_url: str, ca_file: Path) -> Grown:
    """Hold sessions, one after the other; return what is left of them."""
    with asyncio.Runner(loop_factory=HappyEyeballsLoop) as runner:
        return runner.run(_growing(base_url, ca_file))


async def _growing(base_url: str, ca_file: Path) -> Grown:
    async with _keeping(base_url, ca_file) as desk:
        for number in range(WARM_UP):
            await _session(desk, number + 1)
        before, files, samples = _rss_mb(), _files(), desk.ear.samples
        for number in range(SESSIONS):
            await _session(desk, WARM_UP + number + 1)
        heard = (desk.ear.samples - samples) // 960
        if heard < 0.7 * SESSIONS * SESSION_MESSAGES:
            raise RuntimeError(f"only {heard} chunks of audio have come")
        return Grown(_rss_mb() - before, SESSIONS * SESSION_MESSAGES, SESSIONS, _files() - files)


async def _session(desk: _Desk, number: int) -> None:
    """Open a link, take all that comes, and close it."""
    desk.manager.open(OpenLink(number, Mode.HANDS_FREE, Session.CONTINUE_IF_RECENT))
    await until(lambda: any(isinstance(event, ReplyEnded) for event in desk.events))
    desk.manager.close(CloseLink(number))
    await desk.manager.closed()
    desk.events.clear()


def _rss_mb() -> float:
    gc.collect()
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGESIZE") / 1e6


def _files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))
