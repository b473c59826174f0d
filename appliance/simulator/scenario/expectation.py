"""What a household is to notice of a scenario: part of its file, and held by a test of the whole appliance.

A person says the wake word and asks; after each answer, the next question.
"""

from enum import StrEnum
from typing import Annotated, Final, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from appliance.core.events import Trouble
from appliance.core.state import State

UNUSUAL: Final = frozenset({State.INTERRUPTED, State.RECONNECTING, State.FAREWELL, State.TROUBLE})
"""States that a conversation in good health with a person who does not interrupt never shows."""


class Action(StrEnum):
    """What the appliance does about it."""

    TRY_AGAIN = "try again"
    """It connects once more, as before: there was no conversation to go on with."""
    LEAVE_OUT = "leave out"
    """It connects with a set-up that asks for less."""
    RESUME = "resume"
    """It connects once more and goes on with the session."""
    BEGIN_ANEW = "begin anew"
    """It connects once more and begins a session, which is told what was said."""
    SWAP = "swap"
    """It connects once more and goes on with the session, in silence: no light tells."""
    ASK_AGAIN = "ask again"
    """It sends once more what the person said and got no answer to."""
    LEAVE = "leave"
    """It ends the conversation, as nobody waits for anything."""
    GIVE_UP = "give up"
    """It ends the conversation, in words."""


class Manner(StrEnum):
    """How the person behaves."""

    LISTENS = "listens"
    """To each answer, up to its end."""
    INTERRUPTS = "interrupts"
    """The first answer, after its first second, with the wake word and another question."""


class Expectation(BaseModel):
    """What is expected of the appliance; what is left out is not to happen."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    action: tuple[Action, ...] = ()
    """In order; the same one several times in a row counts as one."""
    light: tuple[State, ...] = ()
    """What it shows besides the lights of a conversation in good health, in order, repetitions as above."""
    words: Trouble | None = None
    """The sentence that the household hears (`core.trouble_messages`)."""
    questions: Annotated[int, Field(ge=1, le=20)] = 2
    answers: Annotated[int, Field(ge=0, le=20)] | None = None
    """So many of them are answered, each answer heard up to its end; left out: all."""
    person: Manner = Manner.LISTENS

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        if not set(self.light) <= UNUSUAL:
            raise ValueError(
                f"light: only what is unusual is listed: {', '.join(sorted(state.value for state in UNUSUAL))}"
            )
        if (self.words is not None) is not (Action.GIVE_UP in self.action):
            raise ValueError(f"words: go with the action {Action.GIVE_UP}")
        return self
