"""An interruption reaches the mixer at once, whatever it comes from: few calls, and not a line of the log before."""

import asyncio
import logging
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import cast

import numpy as np
import pytest
from google.genai import types
from google.genai.live import AsyncSession

import appliance
from appliance.audio.playback.mixer import RingMixer
from appliance.button.ports import ButtonEdge
from appliance.core.state import State
from appliance.live.gemini.connection import GeminiConnection
from appliance.live.gemini.transport import ConnectionMonitor
from appliance.live.messages import LinkMessage
from appliance.live.model_capabilities import capabilities
from appliance.live.ports import LiveToken, Request
from appliance.units import Pcm, SampleIndex
from appliance.wake.ports import Detection, Score
from tests.clock import VirtualLoop
from tests.support.household import Connector, HearingLink, Household, reach

PACKAGE = str(Path(appliance.__file__).parent)
MODEL = "gemini-3.8-live"
LINE_S = 0.3
TONE = (np.sin(np.arange(24_000) / 20) * 8000).astype("<i2").tobytes()

Content = types.LiveServerContent


class Session:
    """The SDK's session, with messages of its own kind."""

    def __init__(self) -> None:
        self.incoming: asyncio.Queue[types.LiveServerMessage] = asyncio.Queue()
        self.on_message: Callable[[], None] = lambda: None

    async def receive(self) -> AsyncGenerator[types.LiveServerMessage, None]:
        message = await self.incoming.get()
        self.on_message()
        yield message


class SdkLink(HearingLink):
    """A link whose messages come through the SDK's."""

    def __init__(self) -> None:
        super().__init__()
        self.session = Session()

    def messages(self) -> AsyncGenerator[LinkMessage, None]:
        return GeminiConnection(cast("AsyncSession", self.session), ConnectionMonitor(), capabilities(MODEL)).messages()

    def content(self, content: Content) -> None:
        self.session.incoming.put_nowait(types.LiveServerMessage(server_content=content))


@dataclass
class SdkConnector(Connector):
    """Opens such links."""

    @asynccontextmanager
    async def open(self, token: LiveToken, request: Request) -> AsyncIterator[HearingLink]:
        await asyncio.sleep(self.open_s)
        self.links.append(SdkLink())
        yield self.links[-1]


class Engine:
    """Hears the wake word at one sample, and once more as soon as ``again`` is set."""

    def __init__(self) -> None:
        self.again = False
        self.on_detection: Callable[[], None] = lambda: None

    def feed(self, start: SampleIndex, samples: Pcm) -> tuple[list[Detection], list[Score]]:
        end = SampleIndex(start + len(samples))
        heard = start < 16_000 <= end or self.again
        if self.again:
            self.again = False
            self.on_detection()
        return ([Detection("word", end, 1.0)] if heard else []), []

    def contains(self, recording: Pcm) -> bool:
        """Find nothing; only now it is certain that a person has said the word."""
        assert recording.any()
        self.on_detection()
        return False


class Watch(logging.Handler):
    """Notes what happens between an interruption and the flush; a line of the log takes `LINE_S` of the loop's time."""

    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__()
        self._loop = loop
        self.calls: list[str] = []
        self.lines: list[str] = []
        self.began_at: float | None = None
        self.flushed_at: float | None = None

    def begin(self) -> None:
        self.began_at = self._loop.time()
        self.calls.clear()
        sys.setprofile(self._profile)

    def emit(self, record: logging.LogRecord) -> None:
        self._loop.pass_time(LINE_S)
        if self.began_at is not None and self.flushed_at is None:
            self.lines.append(record.getMessage())

    def _profile(self, frame: FrameType, what: str, _: object) -> None:
        code = frame.f_code
        if what == "call" and code.co_filename.startswith(PACKAGE):
            self.calls.append(f"{code.co_filename.removeprefix(PACKAGE)}:{code.co_qualname}")
            if code is RingMixer.flush.__code__:
                sys.setprofile(None)
                self.flushed_at = self._loop.time()


@contextmanager
def slow_journal(watch: Watch) -> Iterator[None]:
    """Let the product's log go to ``watch``."""
    logger = logging.getLogger("appliance")
    level = logger.level
    logger.setLevel(logging.INFO)
    logger.addHandler(watch)
    try:
        yield
    finally:
        sys.setprofile(None)
        logger.removeHandler(watch)
        logger.setLevel(level)


async def interrupted(by: str) -> Watch:
    """Interrupt a reply in its middle, and watch."""

    engine = Engine()
    barge_in = "voice" if by == "service" else "wake-word"
    household = Household(
        connector=SdkConnector(), wake=lambda: engine, settings={"conversation": {"barge_in": barge_in}}
    )
    watch = Watch(cast("VirtualLoop", asyncio.get_running_loop()))
    async with household.living() as daemon:
        await reach(daemon, State.LISTENING)
        link = cast("SdkLink", household.link)
        audio = types.Part(inline_data=types.Blob(data=TONE, mime_type="audio/pcm;rate=24000"))
        for _ in range(4):
            link.content(Content(model_turn=types.Content(parts=[audio])))
        await reach(daemon, State.SPEAKING)
        await asyncio.sleep(1.0)
        link.session.on_message = engine.on_detection = watch.begin
        with slow_journal(watch):
            if by == "service":
                link.content(Content(interrupted=True))
            elif by == "wake word":
                engine.again = True
            else:
                watch.begin()
                household.button.on_edge(ButtonEdge.DOWN)
            await asyncio.sleep(1.0)
        link.session.on_message = engine.on_detection = lambda: None
    assert watch.flushed_at is not None, "nothing was interrupted"
    return watch


@pytest.mark.parametrize("by", ["service", "wake word", "button"])
async def test_silence_comes_before_any_line_of_a_slow_journal(by: str):
    watch = await interrupted(by)
    assert watch.lines == []
    assert watch.flushed_at == watch.began_at


@pytest.mark.parametrize("by", ["service", "wake word"])
async def test_an_interruption_takes_no_more_calls_than_the_button_needs(by: str):
    assert len((await interrupted(by)).calls) <= len((await interrupted("button")).calls)
