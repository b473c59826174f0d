"""The model's side of a session: its turns, its tools, interruption, what it costs, and handles."""

import asyncio
import logging
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

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
from appliance.simulator.model.transcripts import Transcript, Transcripts
from appliance.simulator.model.turn import ModelTurn, Transcription
from appliance.simulator.model.turn_plan import Answer, Filler, Interruption, Status, TurnPlan, Words
from appliance.simulator.record import TurnRecord
from appliance.simulator.scenario.steps import Moment
from appliance.simulator.session_context import SessionContext
from appliance.units import REPLY, UPLINK

_TOKENS_PER_S: Final = 25
"""Of audio, in and out (ai.google.dev, Live API)."""
_LOG: Final = logging.getLogger(__name__)


@dataclass(slots=True)
class _Asynchronous:
    """Calls of one turn that the model did not wait for."""

    plan: TurnPlan
    """What it says when it has the results."""
    pending: frozenset[str]


class ModelSide:
    """What the model does. The session's receiving task asks and interrupts; each turn is a task of its own."""

    def __init__(self, scene: SessionContext, snapshot: Snapshot) -> None:
        self._scene = scene
        self._setup = scene.setup
        self._record = scene.record
        self._position = snapshot.position
        """In the script, of the next reply."""
        self._context_tokens = snapshot.context_tokens
        self._accounted_samples = 0
        """Of the person's, that are in ``_context_tokens``."""
        self._turn: ModelTurn | None = None
        """None once its end is sent."""
        self._speaking: asyncio.Task[None] | None = None
        self._next: deque[TurnPlan] = deque()
        """Turns that wait until the model is silent: at most one for the person, and one for each asynchronous call."""
        self._discarding = False
        self._person_speaks = False
        self._asynchronous: list[_Asynchronous] = []
        """Each of them holds one call or more that the client has not answered."""
        self._transcripts = scene.service.options.transcripts
        self._transcript: Transcript | None = None
        """The transcription of the person's speech, once a piece of it has been sent."""
        self._playing_until = 0.0
        """When the last reply would have been played, where its turnComplete came before."""

    def ask(self, words: Words = Words.SPOKEN) -> None:
        """The person has finished: the model answers as soon as it is silent, once for all that was asked till then."""
        self._person_speaks = False
        if not self._is_asked():
            self._next.append(replace(self._scene.service.plan(self._position), words=words))
            self._position += 1
        self._go_on()

    async def hear(self) -> None:
        """The person speaks, as the service hears it: an early transcription begins."""
        if self._transcripts is Transcripts.EARLY and self._transcript is None and not self._is_asked():
            self._transcript = self._transcribed(self._scene.service.plan(self._position))
            await self._transcript.send_piece()

    async def interrupt(self) -> None:
        """The person speaks: discard what the model is generating or has not been able to play yet.

        Until the person has finished, no other turn begins.
        """
        self._person_speaks = True
        if not await self._discard() and asyncio.get_running_loop().time() < self._playing_until:
            self._playing_until = 0.0
            self._record.turns[-1].interrupted = True
            await self._scene.send(server_content(interrupted=True))

    async def interrupt_unasked(self) -> None:
        """Send ``interrupted`` though nobody spoke, and discard what the model is saying."""
        if not await self._discard():
            await self._scene.send(server_content(interrupted=True))
        self._go_on()

    async def cancel_tools(self) -> None:
        """Cancel the calls that wait for their result; the model then speaks without them."""
        asynchronous = frozenset[str]().union(*(one.pending for one in self._asynchronous))
        waiting = self._turn.pending if self._turn else frozenset()
        if asynchronous | waiting:
            self._asynchronous.clear()
            await self._scene.send(tool_call_cancellation(asynchronous | waiting))
            if self._turn is not None:
                self._turn.answer(waiting)

    async def take_results(self, responses: object) -> None:
        """Take the answers to tool calls; those to calls that are unknown or cancelled change nothing.

        Raises:
            ContractError: One has no id, or a scheduling that the model does not know.
        """
        answers = [self._checked(one) for one in responses] if isinstance(responses, list) else []
        if not answers:
            raise invalid("functionResponses must have ids.")
        whole = [one for one in answers if not one.get("willContinue")]
        ids = frozenset(one["id"] for one in whole)
        if self._turn is not None:
            self._turn.answer(ids)
        for waiting in list(self._asynchronous):
            if waiting.pending & ids:
                waiting.pending -= ids
                if not waiting.pending:
                    self._asynchronous.remove(waiting)
                    await self._tell(waiting.plan, whole)
        self._scene.reached(Moment.TOOL_RESULT)

    def stop(self) -> None:
        """The connection has ended."""
        self._next.clear()
        if self._speaking is not None:
            self._speaking.cancel()

    def _checked(self, response: object) -> Mapping[str, Any]:
        if not isinstance(response, dict) or not isinstance(response.get("id"), str):
            raise invalid("functionResponses must have ids.")
        if "scheduling" in response and not self._setup.rules.scheduling:
            raise invalid("Scheduling is not supported for this model.")
        return response

    async def _tell(self, plan: TurnPlan, answers: Sequence[Mapping[str, Any]]) -> None:
        """Speak of the results of asynchronous calls when their scheduling says so."""
        scheduling = answers[-1].get("scheduling", "WHEN_IDLE")
        if scheduling == "SILENT":
            await self._scene.send(server_content(interactionStatus=Status.IDLE.value))
            await self._offer_handle()
            return
        if scheduling == "INTERRUPT":
            await self._discard()
            self._next.appendleft(plan)
        else:
            self._next.append(plan)
        self._go_on()

    def _is_asked(self) -> bool:
        """Return whether the person waits already for a turn that has not begun."""
        return any(plan.heard for plan in self._next)

    def _transcribed(self, plan: TurnPlan) -> Transcript:
        """Return what the person is told to have said."""
        is_told = self._setup.input_transcription and self._transcripts is not Transcripts.NEVER
        told = is_told and plan.words is Words.SPOKEN
        return Transcript(plan.heard if told else "", self._scene.send)

    def _go_on(self) -> None:
        """Begin the next turn, where there is one and the model is silent."""
        busy = self._speaking is not None or self._discarding or self._person_speaks
        if self._next and not busy:
            self._begin(self._next.popleft())

    def _begin(self, plan: TurnPlan) -> None:
        self._scene.reached(Moment.TURN)
        altered = self._scene.director.altered(plan)
        record = TurnRecord(reply=plan.reply, at_sample=self._record.received_samples)
        self._record.turns.append(record)
        transcription = Transcription.ON if self._setup.output_transcription else Transcription.OFF
        transcript = self._transcribed(altered)
        if plan.heard:
            transcript, self._transcript = self._transcript or transcript, None
        self._turn = ModelTurn(altered, transcription, transcript, record, self._scene.send)
        self._speaking = self._scene.tasks.create_task(self._speak(self._turn))

    async def _speak(self, turn: ModelTurn) -> None:
        """Hold one turn from its beginning to its end, then begin the next."""
        answer = turn.plan.answer
        if self._transcripts is not Transcripts.LATE and answer is not Answer.NOTHING:
            await turn.transcript.send_rest()
        if answer in {Answer.NONE, Answer.NOTHING}:
            self._turn = None
        else:
            await self._answer(turn)
        if answer is not Answer.NOTHING:
            await turn.transcript.send_rest()
        self._speaking = None
        self._go_on()

    async def _answer(self, turn: ModelTurn) -> None:
        await self._withdraw_handle()
        await asyncio.sleep(turn.plan.thinking_s)
        if turn.plan.filler is not None:
            await self._fill(turn.plan, turn.plan.filler)
        if turn.plan.tools:
            await turn.call_tools()
            self._scene.reached(Moment.TOOL_CALL)
        if turn.pending and self._is_asynchronous(turn.plan):
            later = replace(turn.plan, tools=(), heard="", thinking_s=0.0, status=Status.IDLE)
            self._asynchronous.append(_Asynchronous(later, turn.pending))
            turn.pending = frozenset()
        else:
            await turn.wait_for_results()
            await turn.speak(lambda: self._scene.reached(Moment.REPLY))
        self._turn = None
        self._playing_until = turn.playing_until
        await self._scene.send(self._end(turn))
        _LOG.info("session %d: turn complete", self._record.number)
        self._scene.reached(Moment.TURN_END)
        await self._offer_handle()

    async def _fill(self, plan: TurnPlan, filler: Filler) -> None:
        """Hold a turn that is not the answer yet, and wait."""
        nothing = Transcript("", self._scene.send)
        aside = replace(plan, voice=filler.voice, text="one moment", filler=None)
        turn = ModelTurn(aside, Transcription.OFF, nothing, TurnRecord(plan.reply, 0), self._scene.send)
        await turn.speak(lambda: self._scene.reached(Moment.REPLY))
        await self._scene.send(server_content(turnComplete=True, interactionStatus=Status.IN_PROGRESS.value))
        await asyncio.sleep(filler.wait_s)

    def _is_asynchronous(self, plan: TurnPlan) -> bool:
        return all(self._setup.behavior(tool.name) is Behavior.NON_BLOCKING for tool in plan.tools)

    async def _discard(self) -> bool:
        """Discard the turn under way, and tell the client; False where there is none."""
        turn, speaking = self._turn, self._speaking
        if turn is None or speaking is None:
            return False
        self._turn = self._speaking = None
        self._discarding = True
        speaking.cancel()
        await asyncio.wait([speaking])
        turn.record.interrupted = True
        self._playing_until = 0.0
        _LOG.info("session %d: interrupted", self._record.number)
        if turn.pending:
            await self._scene.send(tool_call_cancellation(turn.pending))
        await self._scene.send(turn.interruption())
        if turn.plan.interruption is not Interruption.WITHOUT_END:
            await self._scene.send(self._end(turn))
        await turn.transcript.send_rest()
        self._scene.reached(Moment.TURN_END)
        await self._offer_handle()
        self._discarding = False
        return True

    def _end(self, turn: ModelTurn) -> Message:
        """Return the message that ends a turn, with what it cost."""
        status = self._status(turn.plan)
        said = {} if status is Status.UNSAID else {"interactionStatus": status.value}
        if turn.plan.answer is Answer.WAITS:
            said["waitingForInput"] = True
        if turn.plan.reason:
            said["turnCompleteReason"] = turn.plan.reason
        return {**server_content(turnComplete=True, **said), **self._usage(turn.record)}

    def _status(self, plan: TurnPlan) -> Status:
        if plan.status is Status.IN_PROGRESS or self._asynchronous:
            return Status.IN_PROGRESS
        return Status.IDLE if self._setup.rules.interaction_status else plan.status

    def _usage(self, turn: TurnRecord) -> Message:
        heard = UPLINK.duration(self._record.received_samples - self._accounted_samples)
        self._accounted_samples = self._record.received_samples
        prompt = self._context_tokens + round(heard * _TOKENS_PER_S)
        response = round(REPLY.duration(turn.sent_samples) * _TOKENS_PER_S)
        self._context_tokens = prompt + response
        compression = self._setup.compression
        if compression and self._context_tokens > compression.trigger_tokens:
            self._context_tokens = min(self._context_tokens, compression.target_tokens)
        return usage(prompt, response)

    async def offer_handles(self) -> None:
        """Offer handles unasked, and again and again, for as long as the connection lasts: some models do."""
        every_s = self._setup.rules.handle_every_s
        if every_s is None:
            return
        while not self._scene.stage.transport.closing:
            await asyncio.sleep(every_s)
            if self._speaking is None and self._scene.stage.resumable:
                await self._send_handle()

    async def _withdraw_handle(self) -> None:
        """While the model generates or waits for tools, a session cannot be resumed."""
        if self._setup.resumption:
            await self._scene.send(resumption_update(None))

    async def _offer_handle(self) -> None:
        """Offer the session under a new handle, unless it still waits for tools."""
        if not self._asynchronous:
            await self.offer_handle()

    async def offer_handle(self) -> None:
        """Offer the session under a new handle, as some models do unasked at any time."""
        if not self._setup.resumption:
            return
        if self._scene.stage.resumable:
            await self._send_handle()
        else:
            await self._scene.send(resumption_update(None))

    async def _send_handle(self) -> None:
        record = self._record
        snapshot = Snapshot(
            record.session, self._position, self._context_tokens, record.number, record.received_samples
        )
        await self._scene.send(resumption_update(self._scene.stage.handles.offer(snapshot)))
