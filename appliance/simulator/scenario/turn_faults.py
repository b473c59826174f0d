"""How a scenario can change a turn of the model. To add a way: a class here, and its name in `AnyAlteration`."""

from dataclasses import replace
from types import MappingProxyType
from typing import Annotated, Any, Final, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import override

from appliance.simulator.model.replies import ToolStep
from appliance.simulator.model.turn_plan import Answer, Completion, Filler, Interruption, Status, TurnPlan
from appliance.simulator.scenario.steps import Moment, Span, Step
from appliance.units import REPLY

_FAINT: Final = 2
"""Loudest sample of mute audio, of 32767."""


class TurnFault(Step):
    """A step that changes what the model is going to do in a turn."""

    moments = frozenset({Moment.TURN})
    after_s: Annotated[float, Field(ge=0, le=0)] = 0.0

    def alter(self, plan: TurnPlan) -> TurnPlan:
        """Return the changed plan."""
        raise NotImplementedError


class NoReply(TurnFault):
    """Transcribes the person where that is asked for, and never answers."""

    do: Literal["no_reply"]

    @override
    def alter(self, plan: TurnPlan) -> TurnPlan:
        return replace(plan, answer=Answer.NONE)


class IgnoreTurn(TurnFault):
    """Sends not a single message for the turn."""

    do: Literal["ignore_turn"]

    @override
    def alter(self, plan: TurnPlan) -> TurnPlan:
        return replace(plan, answer=Answer.NOTHING)


class EmptyTurn(TurnFault):
    """Ends the turn without any audio."""

    do: Literal["empty_turn"]

    @override
    def alter(self, plan: TurnPlan) -> TurnPlan:
        return replace(plan, answer=Answer.EMPTY)


class MuteAudio(TurnFault):
    """Sends the reply with next to no amplitude."""

    do: Literal["mute_audio"]

    @override
    def alter(self, plan: TurnPlan) -> TurnPlan:
        return replace(plan, voice=np.clip(plan.voice, -_FAINT, _FAINT))


class CutShort(TurnFault):
    """Ends the reply in the middle of a sentence, as if it were whole."""

    do: Literal["cut_short"]
    audio_ms: Annotated[int, Field(ge=1)]

    @override
    def alter(self, plan: TurnPlan) -> TurnPlan:
        return replace(plan, voice=plan.voice[: REPLY.frames(self.audio_ms / 1000)])


class Think(TurnFault):
    """Waits before the reply."""

    do: Literal["think"]
    for_s: Span

    @override
    def alter(self, plan: TurnPlan) -> TurnPlan:
        return replace(plan, thinking_s=self.for_s)


class Pace(TurnFault):
    """Sends the audio so many times faster than it plays; below 1, slower than real time."""

    do: Literal["pace"]
    speed: Annotated[float, Field(gt=0, le=1000)]

    @override
    def alter(self, plan: TurnPlan) -> TurnPlan:
        return replace(plan, speed=self.speed)


class Burst(TurnFault):
    """Sends the audio in bursts, each of so much at once."""

    do: Literal["burst"]
    audio_ms: Annotated[int, Field(ge=80, le=60_000)]

    @override
    def alter(self, plan: TurnPlan) -> TurnPlan:
        return replace(plan, burst_ms=self.audio_ms)


class StayInProgress(TurnFault):
    """Ends the turn with IN_PROGRESS, and never says IDLE."""

    do: Literal["stay_in_progress"]

    @override
    def alter(self, plan: TurnPlan) -> TurnPlan:
        return replace(plan, status=Status.IN_PROGRESS)


class CompleteEarly(TurnFault):
    """Sends turnComplete at once after generationComplete; an interruption of the playback then comes after it."""

    do: Literal["complete_early"]

    @override
    def alter(self, plan: TurnPlan) -> TurnPlan:
        return replace(plan, completion=Completion.GENERATED)


class InterruptWithAudio(TurnFault):
    """Puts audio of the discarded reply into the message that says ``interrupted``."""

    do: Literal["interrupt_with_audio"]

    @override
    def alter(self, plan: TurnPlan) -> TurnPlan:
        return replace(plan, interruption=Interruption.WITH_AUDIO)


class InterruptWithoutEnd(TurnFault):
    """Sends no turnComplete after ``interrupted``."""

    do: Literal["interrupt_without_end"]

    @override
    def alter(self, plan: TurnPlan) -> TurnPlan:
        return replace(plan, interruption=Interruption.WITHOUT_END)


class Fill(TurnFault):
    """Says something before the answer, as a turn that ends with IN_PROGRESS; the answer's ends with IDLE."""

    do: Literal["fill"]
    audio_ms: Annotated[int, Field(ge=80, le=60_000)] = 800
    for_s: Span
    """From the end of that turn to the answer."""

    @override
    def alter(self, plan: TurnPlan) -> TurnPlan:
        filler = Filler(plan.voice[: REPLY.frames(self.audio_ms / 1000)], self.for_s)
        return replace(plan, filler=filler, status=Status.IDLE)


class WaitForInput(TurnFault):
    """Ends the turn without audio and says that the person is expected to go on."""

    do: Literal["wait_for_input"]

    @override
    def alter(self, plan: TurnPlan) -> TurnPlan:
        return replace(plan, answer=Answer.WAITS)


class EndWithReason(TurnFault):
    """Ends the turn without audio and says why."""

    do: Literal["end_with_reason"]
    reason: Annotated[str, Field(pattern=r"^[A-Z_]+$")]

    @override
    def alter(self, plan: TurnPlan) -> TurnPlan:
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
    def alter(self, plan: TurnPlan) -> TurnPlan:
        tools = tuple(ToolStep(call.name, MappingProxyType(call.arguments)) for call in self.calls)
        return replace(plan, tools=tools)


AnyAlteration = (
    NoReply | IgnoreTurn | EmptyTurn | MuteAudio | CutShort | Think | Pace | Burst | StayInProgress | CompleteEarly
    | InterruptWithAudio | InterruptWithoutEnd | Fill | WaitForInput | EndWithReason | CallTools
)  # fmt: skip
