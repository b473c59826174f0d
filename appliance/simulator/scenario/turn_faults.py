"""Faults of a turn of the model. To add one, write a class here and name it in `AnyTurnFault`."""

from dataclasses import replace
from types import MappingProxyType
from typing import Annotated, Any, Final, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import override

from appliance.simulator.model.replies import ToolStep
from appliance.simulator.model.turn_plan import Answer, Filler, Interruption, Status, TurnPlan
from appliance.simulator.scenario.steps import DurationS, Step, TriggerPoint
from appliance.units import REPLY

_FAINT: Final = 2
"""The loudest sample of mute audio, out of 32767."""


class TurnFault(Step):
    """A step that changes the plan of a turn."""

    points = frozenset({TriggerPoint.TURN})
    after_s: Annotated[float, Field(ge=0, le=0)] = 0.0

    def apply(self, plan: TurnPlan) -> TurnPlan:
        """Return the changed plan."""
        raise NotImplementedError


class NoReply(TurnFault):
    """Transcribes the person if the set-up asks for it, and never answers."""

    do: Literal["no_reply"]

    @override
    def apply(self, plan: TurnPlan) -> TurnPlan:
        return replace(plan, answer=Answer.TRANSCRIPT_ONLY)


class IgnoreTurn(TurnFault):
    """Sends no message at all for the turn."""

    do: Literal["ignore_turn"]

    @override
    def apply(self, plan: TurnPlan) -> TurnPlan:
        return replace(plan, answer=Answer.IGNORED)


class EmptyTurn(TurnFault):
    """Ends the turn without any audio."""

    do: Literal["empty_turn"]

    @override
    def apply(self, plan: TurnPlan) -> TurnPlan:
        return replace(plan, answer=Answer.EMPTY)


class MuteAudio(TurnFault):
    """Sends the reply with next to no amplitude."""

    do: Literal["mute_audio"]

    @override
    def apply(self, plan: TurnPlan) -> TurnPlan:
        return replace(plan, audio=np.clip(plan.audio, -_FAINT, _FAINT))


class CutShort(TurnFault):
    """Ends the reply early, as if it were complete."""

    do: Literal["cut_short"]
    audio_ms: Annotated[int, Field(ge=1)]

    @override
    def apply(self, plan: TurnPlan) -> TurnPlan:
        return replace(plan, audio=plan.audio[: REPLY.frames(self.audio_ms / 1000)])


class Think(TurnFault):
    """Waits before the reply."""

    do: Literal["think"]
    for_s: DurationS

    @override
    def apply(self, plan: TurnPlan) -> TurnPlan:
        return replace(plan, thinking_s=self.for_s)


class Pace(TurnFault):
    """Sends the audio this many times faster than it plays; below 1, slower than real time."""

    do: Literal["pace"]
    speed: Annotated[float, Field(gt=0, le=1000)]

    @override
    def apply(self, plan: TurnPlan) -> TurnPlan:
        return replace(plan, speed=self.speed)


class Burst(TurnFault):
    """Sends the audio in bursts of this length."""

    do: Literal["burst"]
    audio_ms: Annotated[int, Field(ge=80, le=60_000)]

    @override
    def apply(self, plan: TurnPlan) -> TurnPlan:
        return replace(plan, burst_ms=self.audio_ms)


class StayInProgress(TurnFault):
    """Ends the turn with IN_PROGRESS, and never sends IDLE."""

    do: Literal["stay_in_progress"]

    @override
    def apply(self, plan: TurnPlan) -> TurnPlan:
        return replace(plan, status=Status.IN_PROGRESS)


class CompleteEarly(TurnFault):
    """Sends turnComplete right after generationComplete; playback may be interrupted after it."""

    do: Literal["complete_early"]

    @override
    def apply(self, plan: TurnPlan) -> TurnPlan:
        return replace(plan, completes_early=True)


class InterruptWithAudio(TurnFault):
    """Puts audio of the discarded reply into the ``interrupted`` message."""

    do: Literal["interrupt_with_audio"]

    @override
    def apply(self, plan: TurnPlan) -> TurnPlan:
        return replace(plan, interruption=Interruption.WITH_AUDIO)


class InterruptWithoutEnd(TurnFault):
    """Sends no turnComplete after ``interrupted``."""

    do: Literal["interrupt_without_end"]

    @override
    def apply(self, plan: TurnPlan) -> TurnPlan:
        return replace(plan, interruption=Interruption.WITHOUT_END)


class Fill(TurnFault):
    """Speaks before the answer, in a turn that ends with IN_PROGRESS; the answer's turn ends with IDLE."""

    do: Literal["fill"]
    audio_ms: Annotated[int, Field(ge=80, le=60_000)] = 800
    for_s: DurationS
    """From the end of the first turn to the answer."""

    @override
    def apply(self, plan: TurnPlan) -> TurnPlan:
        filler = Filler(plan.audio[: REPLY.frames(self.audio_ms / 1000)], self.for_s)
        return replace(plan, filler=filler, status=Status.IDLE)


class WaitForInput(TurnFault):
    """Ends the turn without audio, with waitingForInput: the person is expected to go on."""

    do: Literal["wait_for_input"]

    @override
    def apply(self, plan: TurnPlan) -> TurnPlan:
        return replace(plan, answer=Answer.WAITS_FOR_INPUT)


class EndWithReason(TurnFault):
    """Ends the turn without audio, with this turnCompleteReason."""

    do: Literal["end_with_reason"]
    reason: Annotated[str, Field(pattern=r"^[A-Z_]+$")]

    @override
    def apply(self, plan: TurnPlan) -> TurnPlan:
        return replace(plan, answer=Answer.EMPTY, reason=self.reason)


class ScriptedCall(BaseModel):
    """A tool and its arguments."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    name: Annotated[str, Field(min_length=1)]
    arguments: dict[str, Any] = {}


class CallTools(TurnFault):
    """Calls tools before the reply, all in one message."""

    do: Literal["call_tools"]
    calls: Annotated[tuple[ScriptedCall, ...], Field(min_length=1)]

    @override
    def apply(self, plan: TurnPlan) -> TurnPlan:
        tools = tuple(ToolStep(call.name, MappingProxyType(call.arguments)) for call in self.calls)
        return replace(plan, tools=tools)


AnyTurnFault = (
    NoReply | IgnoreTurn | EmptyTurn | MuteAudio | CutShort | Think | Pace | Burst | StayInProgress | CompleteEarly
    | InterruptWithAudio | InterruptWithoutEnd | Fill | WaitForInput | EndWithReason | CallTools
)  # fmt: skip
