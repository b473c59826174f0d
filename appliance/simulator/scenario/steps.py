"""The grammar of a scenario's steps: when a step is due, and on which connections."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, ClassVar, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, model_validator


class TriggerPoint(StrEnum):
    """The points of a connection at which a step can be due."""

    CONNECT = "connect"
    """The client has requested the connection; nothing is answered yet."""
    SETUP = "setup"
    """The set-up has arrived; it is not answered yet."""
    READY = "ready"
    """setupComplete was sent."""
    SPEECH = "speech"
    """The person begins to speak, or presses the button."""
    TURN = "turn"
    """A turn of the model begins: the person has finished."""
    REPLY = "reply"
    """The first audio of a turn was sent."""
    TURN_END = "turn_end"
    """turnComplete was sent."""
    TOOL_CALL = "tool_call"
    """Tool calls were sent."""
    TOOL_RESULT = "tool_result"
    """The result of a tool call has arrived."""


@dataclass(frozen=True, slots=True)
class Trigger:
    """The nth occurrence of a trigger point on a connection; None: every occurrence."""

    point: TriggerPoint
    nth: int | None = None

    def matches(self, point: TriggerPoint, count: int) -> bool:
        """Return whether the step is due at the ``count``-th occurrence of this point."""
        return point is self.point and self.nth in {None, count}

    def __str__(self) -> str:
        return self.point if self.nth is None else f"{self.point}:{self.nth}"


def _trigger(value: object) -> Trigger:
    """Parse ``turn`` or ``turn:2``; raises ValueError."""
    name, colon, number = str(value).partition(":")
    if name not in set(TriggerPoint):
        raise ValueError(f"unknown trigger; expected one of {', '.join(TriggerPoint)}")
    if colon and not (number.isascii() and number.isdecimal() and int(number) > 0):
        raise ValueError(f"the colon must be followed by a number from 1, as in {name}:2")
    return Trigger(TriggerPoint(name), int(number) if colon else None)


On = Annotated[Trigger, BeforeValidator(_trigger), PlainSerializer(str)]
DurationS = Annotated[float, Field(ge=0, le=3600)]
"""Seconds on the clock. The name of such a field must end in ``_s``: `Step.scaled` finds them by it."""


class Step(BaseModel):
    """One fault, and when it happens."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    points: ClassVar[frozenset[TriggerPoint]] = frozenset(TriggerPoint)
    """The trigger points at which this kind of step makes sense."""

    do: str
    on: On
    after_s: DurationS = 0.0
    """From the trigger to the fault."""
    connections: Literal["first", "all"] | tuple[Annotated[int, Field(ge=1)], ...] = "first"
    """Numbers from 1, counted from the connection at which the scenario begins."""

    @model_validator(mode="after")
    def _check_trigger(self) -> Self:
        if self.on.point not in self.points:
            raise ValueError(f"`{self.do}` works on {', '.join(sorted(self.points))}, not on {self.on.point}")
        return self

    def applies_to(self, connection: int) -> bool:
        """Return whether this step is for the nth connection."""
        match self.connections:
            case "all":
                return True
            case "first":
                return connection == 1
            case numbers:
                return connection in numbers

    def scaled(self, factor: float) -> Self:
        """Return the same step with every time on the clock multiplied."""
        times = {name: getattr(self, name) for name in type(self).model_fields if name.endswith("_s")}
        return self.model_copy(update={name: time * factor for name, time in times.items() if time is not None})
