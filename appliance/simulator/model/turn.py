"""One turn of the simulated model: transcripts, tool calls, speech, and the time that it takes to play."""

import asyncio
import secrets
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from enum import Enum
from typing import Final

from appliance.clock import loop_time
from appliance.simulator.contract.messages import Message, model_turn, server_content, speech, tool_call
from appliance.simulator.model.turn_plan import Answer, Interruption, TurnPlan
from appliance.simulator.record import TurnRecord
from appliance.units import REPLY, Pcm

CHUNK: Final = REPLY.frames(0.08)
_TRANSCRIPT_PIECES: Final = 2

Send = Callable[[Message], Awaitable[None]]


class TranscriptTiming(Enum):
    """When the person's transcript comes; the service promises no order between it and the model's turn."""

    EARLY = "early"
    """The first piece while the person speaks, the rest as the model's turn begins."""
    PROMPT = "prompt"
    """As the model's turn begins, before its audio."""
    LATE = "late"
    """The first piece after the first audio of the reply, the rest after turnComplete."""
    NEVER = "never"


class InputTranscript:
    """The transcript of one question, sent in pieces; each word follows a space, as on the wire."""

    def __init__(self, text: str, send: Send) -> None:
        self._send = send
        words = text.split()
        size = -(-len(words) // _TRANSCRIPT_PIECES) or 1
        self._pieces = deque(words[start : start + size] for start in range(0, len(words), size))

    async def send_piece(self) -> None:
        """Send the next piece, if there is one."""
        if self._pieces:
            text = "".join(f" {word}" for word in self._pieces.popleft())
            await self._send(server_content(inputTranscription={"text": text}))

    async def send_rest(self) -> None:
        """Send all remaining pieces."""
        while self._pieces:
            await self.send_piece()


class ModelTurn:
    """Speaks one reply; its coroutines may be cancelled at any point, which leaves no message half sent."""

    def __init__(
        self, plan: TurnPlan, question: InputTranscript, record: TurnRecord, send: Send, *, output_transcription: bool
    ) -> None:
        """``question`` is the part of the person's transcript that is still to be sent."""
        self.plan = plan
        self.question = question
        self.record = record
        self._output_transcription = output_transcription
        self._send = send
        self._results_complete = asyncio.Event()
        self.pending: frozenset[str] = frozenset()
        """Ids of the tool calls without a result."""
        self.playing_until = 0.0
        """Loop time at which all audio sent so far has played."""

    def take_results(self, ids: Iterable[str]) -> None:
        """Note the results of tool calls; unknown ids are ignored."""
        if self.pending:
            self.pending -= frozenset(ids)
            if not self.pending:
                self._results_complete.set()

    async def call_tools(self) -> None:
        """Send the calls, all in one message."""
        calls = [(f"function-call-{secrets.token_hex(8)}", tool.name, tool.arguments) for tool in self.plan.tools]
        self.pending = frozenset(id_ for id_, _, _ in calls)
        self.record.tool_calls = tuple(id_ for id_, _, _ in calls)
        await self._send(tool_call(calls))

    async def wait_for_results(self) -> None:
        """Wait until every call has a result."""
        if self.pending:
            await self._results_complete.wait()

    async def speak(self, on_first_audio: Callable[[], None]) -> None:
        """Send the audio and generationComplete; return when turnComplete is due."""
        if self.plan.answer in {Answer.EMPTY, Answer.WAITS_FOR_INPUT}:
            return
        audio, speed = self.plan.audio, self.plan.speed
        burst = max(1, REPLY.frames(self.plan.burst_ms / 1000) // CHUNK) * CHUNK
        started_at = loop_time()
        for start in range(0, len(audio), CHUNK):
            await _sleep_until(started_at + REPLY.duration(start // burst * burst) / speed)
            await self._send_chunk(start)
            now = loop_time()
            self.playing_until = max(self.playing_until, now) + REPLY.duration(len(audio[start : start + CHUNK]))
            if start == 0:
                on_first_audio()
                await self.question.send_piece()
        await self._send(server_content(generationComplete=True))
        if not self.plan.completes_early:
            await _sleep_until(started_at + REPLY.duration(len(audio)))

    def interruption(self) -> Message:
        """Return the message that announces an interruption."""
        if self.plan.interruption is not Interruption.WITH_AUDIO:
            return server_content(interrupted=True)
        return server_content(interrupted=True, modelTurn=model_turn(self._discarded_chunk()))

    def _discarded_chunk(self) -> Pcm:
        """Return one more chunk of the reply; it is not to be heard, so the record does not count it."""
        start = self.record.sent_samples
        return self.plan.audio[start : start + CHUNK] if start < len(self.plan.audio) else self.plan.audio[-CHUNK:]

    async def _send_chunk(self, start: int) -> None:
        """Send the chunk that begins at sample ``start``, and its words."""
        chunk = self.plan.audio[start : start + CHUNK]
        self.record.sent_samples = start + len(chunk)
        await self._send(speech(chunk))
        words = self._words_between(start, start + len(chunk))
        if words and self._output_transcription:
            await self._send(server_content(outputTranscription={"text": words}))

    def _words_between(self, start: int, end: int) -> str:
        """Return the words spoken between two samples, spread evenly; each follows a space, as on the wire."""
        words = self.plan.text.split()
        first, last = (position * len(words) // len(self.plan.audio) for position in (start, end))
        return "".join(f" {word}" for word in words[first:last])


async def _sleep_until(at: float) -> None:
    await asyncio.sleep(at - loop_time())
