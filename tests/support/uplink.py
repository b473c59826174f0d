"""Shared by the uplink's tests: a microphone stream whose samples tell their index, a link that records, a room."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import numpy as np

from appliance.audio.capture.microphone_buffer import MicrophoneBuffer
from appliance.audio.capture.uplink import Uplink
from appliance.audio.ports import Block
from appliance.core.state import Gate, Mode
from appliance.errors import LinkCause, LinkError
from appliance.units import Pcm, SampleIndex, Seconds

HANDS_FREE, PUSH_TO_TALK = Mode.HANDS_FREE, Mode.PUSH_TO_TALK
START, END, STREAM_END = "activity_start", "activity_end", "audio_stream_end"


def stream(start: int, stop: int) -> Pcm:
    """The microphone stream of these tests: a sample tells its index, over any stretch that could be mixed up."""
    index = np.arange(start, stop)
    return ((index * 40_503 + index // 65_536 * 7919) % 65_536 - 32_768).astype(np.int16)


class RecordingLink:
    """Takes what is sent, each after ``delay_s``; after ``lasts`` sends it raises LinkError, as a lost link does."""

    def __init__(self, lasts: int | None = None, delay_s: float = 0.0) -> None:
        self._left = lasts
        self._delay_s = delay_s
        self.history: list[tuple[float, str | Pcm]] = []

    async def send_audio(self, pcm: bytes) -> None:
        await self._take(np.frombuffer(pcm, dtype="<i2"))

    async def send_activity_start(self) -> None:
        await self._take(START)

    async def send_activity_end(self) -> None:
        await self._take(END)

    async def send_audio_stream_end(self) -> None:
        await self._take(STREAM_END)

    async def _take(self, what: str | Pcm) -> None:
        await asyncio.sleep(self._delay_s)
        if self._left is not None:
            if not self._left:
                raise LinkError("gone", LinkCause.DROPPED)
            self._left -= 1
        self.history.append((asyncio.get_running_loop().time(), what))

    @property
    def chunks(self) -> list[tuple[float, Pcm]]:
        return [(at, what) for at, what in self.history if not isinstance(what, str)]

    @property
    def heard(self) -> list[int]:
        return [sample for _, chunk in self.chunks for sample in chunk.tolist()]

    @property
    def sequence(self) -> list[str]:
        """Markers, and "audio" for any number of chunks."""
        words = [what if isinstance(what, str) else "audio" for _, what in self.history]
        return [word for i, word in enumerate(words) if word != "audio" or i == 0 or words[i - 1] != "audio"]


class Room:
    """A microphone that hears the stream, its ring, and the uplink under test."""

    def __init__(self, capacity_s: float = 30.0, clean_from: Callable[[], SampleIndex | None] | None = None) -> None:
        self.ring = MicrophoneBuffer(capacity_s)
        self.lost: list[int] = []
        self.uplink = Uplink(self.ring, on_dropped=self.lost.append, clean_from=clean_from)

    def capture(self, samples: int) -> None:
        start = self.ring.end
        now = Seconds(asyncio.get_running_loop().time())
        self.ring.append(Block(start, stream(start, start + samples), now))
        self.uplink.notify()

    async def listen(self, seconds: float) -> None:
        """Capture 20 ms blocks in real time."""
        for _ in range(round(seconds / 0.02)):
            await asyncio.sleep(0.02)
            self.capture(320)

    def begin(self, at: int, mode: Mode = HANDS_FREE, gate: Gate = Gate.HOLD) -> None:
        self.uplink.begin(SampleIndex(at), mode)
        self.uplink.set_gate(gate)

    def end(self, at: int) -> None:
        self.uplink.end(SampleIndex(at))
        self.uplink.set_gate(Gate.CLOSED)


@asynccontextmanager
async def running(
    capacity_s: float = 30.0, clean_from: Callable[[], SampleIndex | None] | None = None
) -> AsyncIterator[Room]:
    room = Room(capacity_s, clean_from)
    async with asyncio.TaskGroup() as group:
        sender = group.create_task(room.uplink.run())
        yield room
        sender.cancel()
