"""The transcription of what the person said: in pieces, each sent once, at a moment that can be chosen."""

from collections import deque
from collections.abc import Awaitable, Callable
from enum import Enum
from typing import Final

from appliance.simulator.contract.messages import Message, server_content

_PIECES: Final = 2
"""In which it comes, where it has as many words."""


class Transcripts(Enum):
    """When the person's words come; the service promises no order between them and the model's turn."""

    EARLY = "early"
    """The first of them while the person still speaks, the rest as the model's turn begins."""
    PROMPT = "prompt"
    """As the model's turn begins, before its audio."""
    LATE = "late"
    """The first of them after the first audio of the answer, the rest after turnComplete."""
    NEVER = "never"


class Transcript:
    """The words of one question, each piece after a space as the service does it."""

    def __init__(self, words: str, send: Callable[[Message], Awaitable[None]]) -> None:
        self._send = send
        split = words.split()
        size = -(-len(split) // _PIECES) or 1
        self._pieces = deque(split[start : start + size] for start in range(0, len(split), size))

    async def send_piece(self) -> None:
        """Send the next piece, if there is one."""
        if self._pieces:
            text = "".join(f" {word}" for word in self._pieces.popleft())
            await self._send(server_content(inputTranscription={"text": text}))

    async def send_rest(self) -> None:
        """Send all that was not sent yet."""
        while self._pieces:
            await self.send_piece()
