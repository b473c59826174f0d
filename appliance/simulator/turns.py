"""One turn of the simulated model: a tool call where the script has one, then speech, then the time that it plays."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Iterable
from enum import Enum
from typing import Final

from appliance.simulator.record import TurnRecord
from appliance.simulator.replies import Reply
from appliance.simulator.wire import Message, server_content, speech
from appliance.units import REPLY, UPLINK, Pcm

_CHUNK: Final = REPLY.frames(0.08)
_TOKENS_PER_S: Final = 25
"""Of audio, in and out (ai.google.dev, Live API)."""

Send = Callable[[Message], Awaitable[None]]


class Transcription(Enum):
    """Whether a side's words are sent along."""

    OFF = "off"
    ON = "on"


class ModelTurn:
    """Says one reply; `run` may be cancelled at any point, which leaves no message half said."""

    def __init__(self, reply: Reply, voice: Pcm, transcription: Transcription, record: TurnRecord, send: Send) -> None:
        self._reply = reply
        self._voice = voice
        self._transcription = transcription
        self._record = record
        self._send = send
        self._answered = asyncio.Event()
        self.pending: frozenset[str] = frozenset()
        """Ids of the tool calls that wait for an answer."""

    def answer(self, ids: Iterable[str]) -> None:
        """Take the answers to tool calls; those to others are ignored."""
        if self.pending:
            self.pending -= frozenset(ids)
            if not self.pending:
                self._answered.set()

    async def run(self, speed: float) -> None:
        """Call the tool and wait for its answer, then send the audio, ``speed`` times faster than real time.

        Returns when the audio would have been played: the service "assumes realtime playback".
        """
        await self._call_tool()
        loop = asyncio.get_running_loop()
        began = loop.time()
        for start in range(0, len(self._voice), _CHUNK):
            await _sleep_until(began + REPLY.duration(start) / speed)
            await self._say(start)
        await self._send(server_content(generationComplete=True))
        await _sleep_until(began + REPLY.duration(len(self._voice)))

    def end(self) -> Message:
        """Return the message that ends the turn, with what it cost."""
        heard = round(UPLINK.duration(self._record.at_sample) * _TOKENS_PER_S)
        said = round(REPLY.duration(self._record.sent_samples) * _TOKENS_PER_S)
        usage = {"promptTokenCount": heard, "responseTokenCount": said, "totalTokenCount": heard + said}
        return {**server_content(turnComplete=True), "usageMetadata": usage}

    async def _call_tool(self) -> None:
        tool = self._reply.tool
        if tool is None:
            return
        call = f"function-call-{secrets.token_hex(8)}"
        self.pending = frozenset({call})
        self._record.tool_calls = (call,)
        await self._send(
            {"toolCall": {"functionCalls": [{"id": call, "name": tool.name, "args": dict(tool.arguments)}]}}
        )
        await self._answered.wait()

    async def _say(self, start: int) -> None:
        """Send the chunk that begins at sample ``start``, and the words that belong to it."""
        chunk = self._voice[start : start + _CHUNK]
        self._record.sent_samples = start + len(chunk)
        await self._send(speech(chunk))
        words = self._words_within(start, start + len(chunk))
        if words and self._transcription is Transcription.ON:
            await self._send(server_content(outputTranscription={"text": words}))

    def _words_within(self, start: int, end: int) -> str:
        """Return the words spoken between two samples, spread evenly, each after a space as the service does it."""
        words = self._reply.text.split()
        first, last = (position * len(words) // len(self._voice) for position in (start, end))
        return "".join(f" {word}" for word in words[first:last])


async def _sleep_until(moment: float) -> None:
    await asyncio.sleep(moment - asyncio.get_running_loop().time())
