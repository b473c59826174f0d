"""Which of the samples that were sent over a connection have arrived, and which a session knows. Pure.

Each chunk is noted with how far the stream of bytes had come when it was written; the kernel knows how far the other
end has acknowledged them.
"""

from collections import deque
from dataclasses import dataclass
from typing import Final

LONGEST: Final = 256
"""Chunks that are remembered: ten seconds of speech, far more than a connection holds (`wires.SEND_BUFFER_BYTES`)."""


@dataclass(frozen=True, slots=True)
class _Chunk:
    samples: int
    written: int
    """Bytes since the connection was made, with this chunk."""
    message: int
    """Messages since the set-up, with this one."""


class DeliveryTracker:
    """The newest chunks of one connection."""

    def __init__(self) -> None:
        self._chunks: deque[_Chunk] = deque(maxlen=LONGEST)

    def sent(self, samples: int, written: int, message: int = 0) -> None:
        """Note a chunk, after which so many bytes have been written, and messages sent since the set-up."""
        self._chunks.append(_Chunk(samples, written, message))

    def undelivered(self, acknowledged: int) -> int:
        """Return how many samples, the newest ones, are not wholly within so many acknowledged bytes."""
        return sum(chunk.samples for chunk in self._chunks if chunk.written > acknowledged)

    def unconsumed(self, messages: int) -> int:
        """Return how many samples, the newest ones, are not within the first so many messages since the set-up."""
        return sum(chunk.samples for chunk in self._chunks if chunk.message > messages)
