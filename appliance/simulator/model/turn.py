"""One turn of the simulated model: tool calls where there are any, then speech, then the time that it plays."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Iterable
from enum import Enum
from typing import Final

from appliance.simulator.contract.messages import Message, model_turn, server_content, speech, tool_call
from appliance.simulator.model.transcripts import Transcript
from appliance.simulator.model.turn_plan import Answer, Completion, Interruption, TurnPlan
from appliance.simulator.record import TurnRecord
from appliance.units import REPLY, Pcm

CHUNK: Final = REPLY.frames(0.08)

Send = Callable[[Message], Awaitable[None]]


class Transcription(Enum):
    """Whether a side's words are sent along."""

    OFF = "off"
    ON = "on"


class ModelTurn:
    """Says one reply; its coroutines may be cancelled at any point, which leaves no message half said."""

    def __init__(
        self, plan: TurnPlan, transcription: Transcription, transcript: Transcript, record: TurnRecord, send: Send
    ) -> None:
        """``transcription`` is of the model's words, ``transcript`` what is still to be sent of the person's."""
        self.plan = plan
        self.transcript = transcript
        self.record = record
        self._transcription = transcription
        self._send = send
        self._answered = asyncio.Event()
        self.pending: frozenset[str] = frozenset()
        """Ids of the tool calls that wait for an answer."""
        self.playing_until = 0.0
        """Moment of the loop's clock when all audio sent so far would have been played."""

    def answer(self, ids: Iterable[str]) -> None:
        """Take the answers to tool calls; those to others are ignored."""
        if self.pending:
            self.pending -= frozenset(ids)
            if not self.pending:
                self._answered.set()

    async def call_tools(self) -> None:
        """Make the calls, all in one message; returns at once."""
        calls = [(f"function-call-{secrets.token_hex(8)}", tool.name, tool.arguments) for tool in self.plan.tools]
        self.pending = frozenset(id_ for id_, _, _ in calls)
        self.record.tool_calls = tuple(id_ for id_, _, _ in calls)
        await self._send(tool_call(calls))

    async def wait_for_results(self) -> None:
        """Wait until every call is answered."""
        if self.pending:
            await self._answered.wait()

    async def speak(self, on_first_audio: Callable[[], None]) -> None:
        """Send the audio and generationComplete; return when turnComplete is due."""
        if self.plan.answer in {Answer.EMPTY, Answer.WAITS}:
            return
        voice, speed = self.plan.voice, self.plan.speed
        burst = max(1, REPLY.frames(self.plan.burst_ms / 1000) // CHUNK) * CHUNK
        began = asyncio.get_running_loop().time()
        for start in range(0, len(voice), CHUNK):
            await _sleep_until(began + REPLY.duration(start // burst * burst) / speed)
            await self._say(start)
            now = asyncio.get_running_loop().time()
            self.playing_until = max(self.playing_until, now) + REPLY.duration(len(voice[start : start + CHUNK]))
            if start == 0:
                on_first_audio()
                await self.transcript.send_piece()
        await self._send(server_content(generationComplete=True))
        if self.plan.completion is Completion.PLAYED:
            await _sleep_until(began + REPLY.duration(len(voice)))

    def interruption(self) -> Message:
        """Return the message that tells of an interruption."""
        if self.plan.interruption is not Interruption.WITH_AUDIO:
            return server_content(interrupted=True)
        start = self.record.sent_samples
        return server_content(interrupted=True, modelTurn=model_turn(self._rest(start)))

    def _rest(self, start: int) -> Pcm:
        """Return one more chunk; it was never to be heard, so that no record counts it."""
        return self.plan.voice[start : start + CHUNK] if start < len(self.plan.voice) else self.plan.voice[-CHUNK:]

    async def _say(self, start: int) -> None:
        """Send the chunk that begins at sample ``start``, and the words that belong to it."""
        chunk = self.plan.voice[start : start + CHUNK]
        self.record.sent_samples = start + len(chunk)
        await self._send(speech(chunk))
        words = self._words_within(start, start + len(chunk))
        if words and self._transcription is Transcription.ON:
            await self._send(server_content(outputTranscription={"text": words}))

    def _words_within(self, start: int, end: int) -> str:
        """Return the words spoken between two samples, spread evenly, each after a space as the service does it."""
        words = self.plan.text.split()
        first, last = (position * len(words) // len(self.plan.voice) for position in (start, end))
        return "".join(f" {word}" for word in words[first:last])


async def _sleep_until(moment: float) -> None:
    await asyncio.sleep(moment - asyncio.get_running_loop().time())
