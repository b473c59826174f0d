"""The appliance's expected reaction to a scenario: part of its file, checked by a test of the whole appliance.

In that test a person says the wake word and asks a question, and the next one after each answer.
"""

from enum import StrEnum
from typing import Annotated, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from appliance.core.events import Trouble
from appliance.core.state import State

UNUSUAL: Final = frozenset({State.INTERRUPTED, State.RECONNECTING, State.FAREWELL, State.TROUBLE})
"""States that never appear in a healthy conversation with a person who does not interrupt."""


class Action(StrEnum):
    """Reactions of the appliance."""

    TRY_AGAIN = "try again"
    """It connects again, as before: there was no conversation to continue."""
    LEAVE_OUT = "leave out"
    """It connects with a set-up that asks for less."""
    RESUME = "resume"
    """It connects again and resumes the session."""
    BEGIN_ANEW = "begin anew"
    """It connects again and begins a new session, seeded with the transcript."""
    SWAP = "swap"
    """It replaces the connection and resumes the session unnoticed: no light shows it."""
    ASK_AGAIN = "ask again"
    """It resends the question that got no answer."""
    LEAVE = "leave"
    """It ends the conversation silently, since nobody is waiting for an answer."""
    GIVE_UP = "give up"
    """It ends the conversation and says why."""


class Expectation(BaseModel):
    """The expected reaction; anything not listed must not happen."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    action: tuple[Action, ...] = ()
    """In order; repetitions count once."""
    light: tuple[State, ...] = ()
    """Unusual states that the light shows, in order; repetitions count once."""
    words: Trouble | None = None
    """The trouble message that is spoken (`core.trouble_messages`)."""
    questions: Annotated[int, Field(ge=1, le=20)] = 2
    answers: Annotated[int, Field(ge=0, le=20)] | None = None
    """Questions whose answer is heard to its end; None: all."""
    person: Literal["listens", "interrupts"] = "listens"
    """Listens to every answer, or interrupts the first after a second with the wake word and another question."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not set(self.light) <= UNUSUAL:
            raise ValueError(
                f"light: only unusual states are listed: {', '.join(sorted(state.value for state in UNUSUAL))}"
            )
        if (self.words is not None) is not (Action.GIVE_UP in self.action):
            raise ValueError(f"words: required with the action {Action.GIVE_UP}, and only with it")
        return self
