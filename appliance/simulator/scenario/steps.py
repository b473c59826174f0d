"""The grammar of a scenario's steps: when something is done, and on which connections."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, ClassVar, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, model_validator


class Moment(StrEnum):
    """What a step can wait for, on one connection."""

    CONNECT = "connect"
    """The client asks for the connection; nothing is answered yet."""
    SETUP = "setup"
    """The set-up has come; it is not answered yet."""
    READY = "ready"
    """setupComplete is sent."""
    SPEECH = "speech"
    """The person begins to speak, or to press."""
    TURN = "turn"
    """A turn of the model begins: the person has finished."""
    REPLY = "reply"
    """The first audio of a turn is sent."""
    TURN_END = "turn_end"
    """turnComplete is sent."""
    TOOL_CALL = "tool_call"
    """Tool calls are sent."""
    TOOL_RESULT = "tool_result"
    """An answer to a tool call has come."""


@dataclass(frozen=True, slots=True)
class Trigger:
    """The nth time of a moment on a connection; None: every time."""

    moment: Moment
    nth: int | None = None

    def fits(self, moment: Moment, count: int) -> bool:
        """Tell whether this is it."""
        return moment is self.moment and self.nth in {None, count}

    def __str__(self) -> str:
        return self.moment if self.nth is None else f"{self.moment}:{self.nth}"


def _trigger(value: object) -> Trigger:
    """Read ``turn`` or ``turn:2``; raises ValueError."""
    name, colon, number = str(value).partition(":")
    if name not in set(Moment):
        raise ValueError(f"no such moment; there are {', '.join(Moment)}")
    if colon and not (number.isascii() and number.isdecimal() and int(number) > 0):
        raise ValueError(f"what follows the colon must be a number from 1, as in {name}:2")
    return Trigger(Moment(name), int(number) if colon else None)


On = Annotated[Trigger, BeforeValidator(_trigger), PlainSerializer(str)]
Span = Annotated[float, Field(ge=0, le=3600)]
"""Seconds on the clock. A field of this kind ends in ``_s``: `Step.scaled` goes by that."""


class Step(BaseModel):
    """One thing that the service does to a connection."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    moments: ClassVar[frozenset[Moment]] = frozenset(Moment)
    """Where a step of this kind has a meaning."""

    do: str
    on: On
    after_s: Span = 0.0
    """From the moment to the deed."""
    connections: Literal["first", "all"] | tuple[Annotated[int, Field(ge=1)], ...] = "first"
    """Counted from 1, from the one at which the scenario begins."""

    @model_validator(mode="after")
    def _has_a_meaning(self) -> Self:
        if self.on.moment not in self.moments:
            raise ValueError(f"`{self.do}` goes with {', '.join(sorted(self.moments))}, not with {self.on.moment}")
        return self

    def applies(self, connection: int) -> bool:
        """Tell whether this step is for the nth connection."""
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
