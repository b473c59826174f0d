"""Between a link that must always be read and a playback ring that may be full."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final

from appliance.core.events import ReplyEnded
from appliance.live.session.reply_filter import ReplyChunk
from appliance.units import REPLY, Epoch

CAPACITY_S: Final = 120.0
"""Beside what the playback ring holds: hardly an answer is longer, so that an interruption is seen at once. 5.8 MB."""
_BYTES_PER_SAMPLE: Final = 2


class PlaybackQueue:
    """A queue of reply audio, and of the ends of replies, which are told once their audio is written.

    One task puts, one runs. Bound: ``capacity_s`` of audio, and the chunk that passes it. When full, `put` waits
    (counted in ``waits``): the link is no longer read, so that the service has to wait. `clear` drops what waits in the
    queue and before it.
    """

    def __init__(
        self,
        write: Callable[[Epoch, bytes], Awaitable[None]],
        ended: Callable[[ReplyEnded], None],
        capacity_s: float = CAPACITY_S,
    ) -> None:
        self._write = write
        self._ended = ended
        self._capacity = REPLY.frames(capacity_s) * _BYTES_PER_SAMPLE
        self._waiting: deque[ReplyChunk | ReplyEnded] = deque()
        self._bytes = 0
        self._filled = asyncio.Event()
        self._room = asyncio.Event()
        self._empty = asyncio.Event()
        self._empty.set()
        self._clearings = 0
        self.waits = 0
        """How often the link was not read because the queue was full."""

    async def put(self, item: ReplyChunk | ReplyEnded) -> None:
        """Append ``item`` once there is room; drop it if the queue is cleared meanwhile."""
        if self._bytes >= self._capacity:
            self.waits += 1
            clearings = self._clearings
            while self._bytes >= self._capacity:
                self._room.clear()
                await self._room.wait()
            if self._clearings != clearings:
                return
        self._waiting.append(item)
        self._bytes += _size(item)
        self._empty.clear()
        self._filled.set()

    def clear(self) -> None:
        """Drop all that waits. The chunk that is being written is the business of playback, which knows its epoch."""
        self._waiting.clear()
        self._bytes = 0
        self._clearings += 1
        self._room.set()

    async def empty(self) -> None:
        """Wait until all that was put is written, told or dropped."""
        await self._empty.wait()

    async def run(self) -> None:
        """Write chunks and tell ends, in order, until cancelled."""
        while True:
            while self._waiting:
                item = self._waiting.popleft()
                self._bytes -= _size(item)
                self._room.set()
                if isinstance(item, ReplyChunk):
                    await self._write(item.epoch, item.pcm)
                else:
                    self._ended(item)
            self._empty.set()
            self._filled.clear()
            await self._filled.wait()


def _size(item: ReplyChunk | ReplyEnded) -> int:
    return len(item.pcm) if isinstance(item, ReplyChunk) else 0
