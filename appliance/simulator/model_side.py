"""The model's side of a session: its turns, its tools, interruption, token usage, and handles."""

import asyncio
import logging
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from appliance.clock import loop_time
from appliance.simulator.contract.messages import (
    Message,
    invalid,
    resumption_update,
    server_content,
    tool_call_cancellation,
    usage,
)
from appliance.simulator.contract.models import Behavior
from appliance.simulator.model.resumption import Snapshot
from appliance.simulator.model.turn import InputTranscript, ModelTurn, TranscriptTiming
from appliance.simulator.model.turn_plan import Answer, Filler, Interruption, Status, TurnPlan
from appliance.simulator.record import TurnRecord
from appliance.simulator.scenario.steps import TriggerPoint
from appliance.simulator.session_context import SessionContext
from appliance.units import REPLY, UPLINK

_TOKENS_PER_S: Final = 25
"""Tokens per second of audio, in both directions (ai.google.dev, Live API)."""
_LOG: Final = logging.getLogger(__name__)


@dataclass(slots=True)
class _AsynchronousCalls:
    """The tool calls of one turn that the model does not wait for."""

    plan: TurnPlan
    """Spoken when the results have come."""
    pending: frozenset[str]
    """Ids of the calls without a result."""


class ModelSide:
    """The model. The session's receiving task requests and interrupts turns; each turn is a task."""

    def __init__(self, session: SessionContext, snapshot: Snapshot) -> None:
        self._session = session
        self._setup = session.setup
        self._record = session.record
        self._position = snapshot.position
        """In the script, of the next reply."""
        self._context_tokens = snapshot.context_tokens
        self._counted_samples = 0
        """Samples of the person that are included in ``_context_tokens``."""
        self._turn: ModelTurn | None = None
        """None once turnComplete is sent."""
        self._turn_task: asyncio.Task[None] | None = None
        self._queued: deque[TurnPlan] = deque()
        """Turns that wait until the model is silent: at most one for the person, and one for each asynchronous call."""
        self._discarding = False
        self._person_speaks = False
        self._asynchronous: list[_AsynchronousCalls] = []
        """Each has a call without a result."""
        self._timing = session.service.options.transcripts
        self._early_transcript: InputTranscript | None = None
        """The transcript of the current question, once a piece of it was sent."""
        self._playing_until = 0.0
        """Loop time at which the last reply has played, if its turnComplete came earlier."""

    def request_turn(self, *, typed: bool = False) -> None:
        """Answer as soon as the model is silent, once for all questions until then: the person has finished."""
        self._person_speaks = False
        if not self._is_turn_queued():
            self._queued.append(replace(self._session.service.plan_turn(self._position), typed=typed))
            self._position += 1
        self._start_next_turn()

    async def transcribe_early(self) -> None:
        """Begin an early transcript: the person is speaking."""
        if self._timing is TranscriptTiming.EARLY and self._early_transcript is None and not self._is_turn_queued():
            self._early_transcript = self._transcript(self._session.service.plan_turn(self._position))
            await self._early_transcript.send_piece()

    async def interrupt(self) -> None:
        """Discard what is being generated or has not played yet: the person speaks.

        No other turn begins until the person has finished.
        """
        self._person_speaks = True
        if not await self._discard() and loop_time() < self._playing_until:
            self._playing_until = 0.0
            self._record.turns[-1].interrupted = True
            await self._session.send(server_content(interrupted=True))

    async def interrupt_unprompted(self) -> None:
        """Send ``interrupted`` although nobody spoke, and discard the reply in progress."""
        if not await self._discard():
            await self._session.send(server_content(interrupted=True))
        self._start_next_turn()

    async def cancel_tools(self) -> None:
        """Cancel the calls that have no result yet; the model then speaks without them."""
        asynchronous = frozenset[str]().union(*(one.pending for one in self._asynchronous))
        waiting = self._turn.pending if self._turn else frozenset()
        if asynchronous | waiting:
            self._asynchronous.clear()
            await self._session.send(tool_call_cancellation(asynchronous | waiting))
            if self._turn is not None:
                self._turn.take_results(waiting)

    async def take_results(self, responses: object) -> None:
        """Take the results of tool calls; those of unknown or cancelled calls are ignored.

        Raises:
            ContractError: A result has no id, or a scheduling that the model does not support.
        """
        results = [self._checked(one) for one in responses] if isinstance(responses, list) else []
        if not results:
            raise invalid("functionResponses must have ids.")
        final = [one for one in results if not one.get("willContinue")]
        ids = frozenset(one["id"] for one in final)
        if self._turn is not None:
            self._turn.take_results(ids)
        for waiting in list(self._asynchronous):
            if waiting.pending & ids:
                waiting.pending -= ids
                if not waiting.pending:
                    self._asynchronous.remove(waiting)
                    await self._schedule(waiting.plan, final)
        self._session.scenario.start(TriggerPoint.TOOL_RESULT)

    def stop(self) -> None:
        """Stop speaking: the connection has ended."""
        self._queued.clear()
        if self._turn_task is not None:
            self._turn_task.cancel()

    def _checked(self, response: object) -> Mapping[str, Any]:
        if not isinstance(response, dict) or not isinstance(response.get("id"), str):
            raise invalid("functionResponses must have ids.")
        if "scheduling" in response and not self._setup.rules.scheduling:
            raise invalid("Scheduling is not supported for this model.")
        return response

    async def _schedule(self, plan: TurnPlan, results: Sequence[Mapping[str, Any]]) -> None:
        """Speak of the results of asynchronous calls when their scheduling says so."""
        scheduling = results[-1].get("scheduling", "WHEN_IDLE")
        if scheduling == "SILENT":
            await self._session.send(server_content(interactionStatus=Status.IDLE.value))
            await self._offer_handle_if_idle()
            return
        if scheduling == "INTERRUPT":
            await self._discard()
            self._queued.appendleft(plan)
        else:
            self._queued.append(plan)
        self._start_next_turn()

    def _is_turn_queued(self) -> bool:
        """Return whether a turn for the person is queued already."""
        return any(plan.question for plan in self._queued)

    def _transcript(self, plan: TurnPlan) -> InputTranscript:
        """Return the transcript of the question, empty where none is sent."""
        wanted = self._setup.input_transcription and self._timing is not TranscriptTiming.NEVER and not plan.typed
        return InputTranscript(plan.question if wanted else "", self._session.send)

    def _start_next_turn(self) -> None:
        """Start the next queued turn if the model is silent."""
        busy = self._turn_task is not None or self._discarding or self._person_speaks
        if self._queued and not busy:
            self._start_turn(self._queued.popleft())

    def _start_turn(self, plan: TurnPlan) -> None:
        self._session.scenario.start(TriggerPoint.TURN)
        plan = self._session.scenario.change(plan)
        record = TurnRecord(reply=plan.reply, at_sample=self._record.received_samples)
        self._record.turns.append(record)
        transcript = self._transcript(plan)
        if plan.question:
            transcript, self._early_transcript = self._early_transcript or transcript, None
        spoken = self._setup.output_transcription
        self._turn = ModelTurn(plan, transcript, record, self._session.send, output_transcription=spoken)
        self._turn_task = self._session.tasks.create_task(self._run_turn(self._turn))

    async def _run_turn(self, turn: ModelTurn) -> None:
        """Run one turn to its end, then start the next."""
        answer = turn.plan.answer
        if self._timing is not TranscriptTiming.LATE and answer is not Answer.IGNORED:
            await turn.question.send_rest()
        if answer in {Answer.TRANSCRIPT_ONLY, Answer.IGNORED}:
            self._turn = None
        else:
            await self._answer(turn)
        if answer is not Answer.IGNORED:
            await turn.question.send_rest()
        self._turn_task = None
        self._start_next_turn()

    async def _answer(self, turn: ModelTurn) -> None:
        await self._withdraw_handle()
        await asyncio.sleep(turn.plan.thinking_s)
        if turn.plan.filler is not None:
            await self._speak_filler(turn.plan, turn.plan.filler)
        if turn.plan.tools:
            await turn.call_tools()
            self._session.scenario.start(TriggerPoint.TOOL_CALL)
        if turn.pending and self._is_asynchronous(turn.plan):
            later = replace(turn.plan, tools=(), question="", thinking_s=0.0, status=Status.IDLE)
            self._asynchronous.append(_AsynchronousCalls(later, turn.pending))
            turn.pending = frozenset()
        else:
            await turn.wait_for_results()
            await turn.speak(lambda: self._session.scenario.start(TriggerPoint.REPLY))
        self._turn = None
        self._playing_until = turn.playing_until
        await self._session.send(self._turn_complete(turn))
        _LOG.info("session %d: turn complete", self._record.number)
        self._session.scenario.start(TriggerPoint.TURN_END)
        await self._offer_handle_if_idle()

    async def _speak_filler(self, plan: TurnPlan, filler: Filler) -> None:
        """Speak in a turn that is not the answer, and wait."""
        aside = replace(plan, audio=filler.audio, text="one moment", filler=None)
        send = self._session.send
        turn = ModelTurn(aside, InputTranscript("", send), TurnRecord(plan.reply, 0), send, output_transcription=False)
        await turn.speak(lambda: self._session.scenario.start(TriggerPoint.REPLY))
        await self._session.send(server_content(turnComplete=True, interactionStatus=Status.IN_PROGRESS.value))
        await asyncio.sleep(filler.wait_s)

    def _is_asynchronous(self, plan: TurnPlan) -> bool:
        return all(self._setup.behavior(tool.name) is Behavior.NON_BLOCKING for tool in plan.tools)

    async def _discard(self) -> bool:
        """Discard the turn in progress and send ``interrupted``; False where there is none."""
        turn, task = self._turn, self._turn_task
        if turn is None or task is None:
            return False
        self._turn = self._turn_task = None
        self._discarding = True
        task.cancel()
        await asyncio.wait([task])
        turn.record.interrupted = True
        self._playing_until = 0.0
        _LOG.info("session %d: interrupted", self._record.number)
        if turn.pending:
            await self._session.send(tool_call_cancellation(turn.pending))
        await self._session.send(turn.interruption())
        if turn.plan.interruption is not Interruption.WITHOUT_END:
            await self._session.send(self._turn_complete(turn))
        await turn.question.send_rest()
        self._session.scenario.start(TriggerPoint.TURN_END)
        await self._offer_handle_if_idle()
        self._discarding = False
        return True

    def _turn_complete(self, turn: ModelTurn) -> Message:
        """Return the message that ends a turn, with its token usage."""
        status = self._status(turn.plan)
        fields = {} if status is Status.OMITTED else {"interactionStatus": status.value}
        if turn.plan.answer is Answer.WAITS_FOR_INPUT:
            fields["waitingForInput"] = True
        if turn.plan.reason:
            fields["turnCompleteReason"] = turn.plan.reason
        return {**server_content(turnComplete=True, **fields), **self._usage(turn.record)}

    def _status(self, plan: TurnPlan) -> Status:
        if plan.status is Status.IN_PROGRESS or self._asynchronous:
            return Status.IN_PROGRESS
        return Status.IDLE if self._setup.rules.interaction_status else plan.status

    def _usage(self, turn: TurnRecord) -> Message:
        spoken_s = UPLINK.duration(self._record.received_samples - self._counted_samples)
        self._counted_samples = self._record.received_samples
        prompt = self._context_tokens + round(spoken_s * _TOKENS_PER_S)
        response = round(REPLY.duration(turn.sent_samples) * _TOKENS_PER_S)
        self._context_tokens = prompt + response
        compression = self._setup.compression
        if compression and self._context_tokens > compression.trigger_tokens:
            self._context_tokens = min(self._context_tokens, compression.target_tokens)
        return usage(prompt, response)

    async def offer_handles(self) -> None:
        """Offer handles at intervals until the connection ends, as some models do."""
        every_s = self._setup.rules.handle_every_s
        if every_s is None:
            return
        while not self._session.connection.transport.closing:
            await asyncio.sleep(every_s)
            if self._turn_task is None and self._session.connection.resumable:
                await self._send_handle()

    async def _withdraw_handle(self) -> None:
        """Say that the session cannot be resumed: the model generates or waits for tools."""
        if self._setup.resumption:
            await self._session.send(resumption_update(None))

    async def _offer_handle_if_idle(self) -> None:
        """Offer a new handle, unless a tool call has no result yet."""
        if not self._asynchronous:
            await self.offer_handle()

    async def offer_handle(self) -> None:
        """Offer a new handle, as some models do at any time."""
        if not self._setup.resumption:
            return
        if self._session.connection.resumable:
            await self._send_handle()
        else:
            await self._session.send(resumption_update(None))

    async def _send_handle(self) -> None:
        record = self._record
        snapshot = Snapshot(
            record.session, self._position, self._context_tokens, record.number, record.received_samples
        )
        await self._session.send(resumption_update(self._session.connection.handles.offer(snapshot)))
