"""What each Live model takes in its set-up and in a running session. Pure.

Source: ai.google.dev, Live API, model pages of September and October 2026; what a model is not known to refuse, it
takes.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Final


class Thinking(Enum):
    """What a set-up may say of thinking."""

    OPTIONAL = "optional"
    REFUSED = "refused"
    """Any thinking configuration ends the connection with 1007."""
    LEVEL_REQUIRED = "level-required"
    """One of `THINKING_LEVELS`, or 1007."""


THINKING_LEVELS: Final = frozenset({"LOW", "MEDIUM", "HIGH"})


class Behavior(Enum):
    """Whether the model waits for a tool's result, as the wire says it."""

    BLOCKING = "BLOCKING"
    NON_BLOCKING = "NON_BLOCKING"


class History(Enum):
    """When clientContent is taken."""

    ALWAYS = "always"
    FIRST = "first"
    """Before anything else, and only where historyConfig asked for it; later it ends the connection with 1007."""


@dataclass(frozen=True, slots=True)
class Model:
    """The rules of one model."""

    thinking: Thinking = Thinking.OPTIONAL
    default_behavior: Behavior = Behavior.BLOCKING
    """Of a tool whose declaration does not say."""
    behaviors: frozenset[Behavior] = frozenset(Behavior)
    """What a declaration may ask for; anything else ends the connection with 1007."""
    history: History = History.ALWAYS
    affective_dialog: bool = True
    """``enableAffectiveDialog`` is taken."""
    optional_proactivity: bool = True
    """``proactiveAudio: false`` is taken."""
    scheduling: bool = True
    """A result may say when it is to be spoken of."""
    interaction_status: bool = False
    """Every turnComplete says whether the interaction is over."""
    stream_end: bool = True
    """``audioStreamEnd`` ends what the person says; if not, only audio does (openclaw#152830, python-genai#1328)."""
    handle_every_s: float | None = None
    """How often a handle comes while the model is silent, also where the set-up has not asked for any; None: one after
    each turn, where it has."""
    voice_activity: bool = True
    """``voiceActivity`` tells when the person begins and stops."""


_BY_PREFIX: Final = (
    (
        "gemini-3.8-live-extended-thinking",
        Model(
            thinking=Thinking.LEVEL_REQUIRED,
            default_behavior=Behavior.NON_BLOCKING,
            behaviors=frozenset({Behavior.NON_BLOCKING}),
            affective_dialog=False,
            optional_proactivity=False,
            scheduling=False,
            interaction_status=True,
        ),
    ),
    (
        "gemini-3.8-live",
        Model(
            thinking=Thinking.REFUSED,
            default_behavior=Behavior.NON_BLOCKING,
            affective_dialog=False,
            optional_proactivity=False,
            stream_end=False,
        ),
    ),
    (
        "gemini-3.1-flash-live",
        Model(
            behaviors=frozenset({Behavior.BLOCKING}),
            history=History.FIRST,
            handle_every_s=1.2,
            voice_activity=False,
        ),
    ),
)
"""The first match wins."""


def rules(model: str) -> Model:
    """Return the rules of ``models/…``; of an unknown model, those that refuse nothing."""
    name = model.removeprefix("models/")
    for prefix, known in _BY_PREFIX:
        if name.startswith(prefix):
            return known
    return Model()
