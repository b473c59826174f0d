"""The rules of each Live model for set-ups and running sessions. Pure.

Source: ai.google.dev, Live API, model pages of September and October 2026. Whatever a model is not known to refuse is
accepted.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Final


class Thinking(Enum):
    """Whether a set-up may have a thinking configuration."""

    OPTIONAL = "optional"
    REFUSED = "refused"
    """Any thinking configuration ends the connection with 1007."""
    LEVEL_REQUIRED = "level-required"
    """One of `THINKING_LEVELS`, or 1007."""


THINKING_LEVELS: Final = frozenset({"LOW", "MEDIUM", "HIGH"})


class Behavior(Enum):
    """Whether the model waits for a tool's result; the values are the wire's."""

    BLOCKING = "BLOCKING"
    NON_BLOCKING = "NON_BLOCKING"


@dataclass(frozen=True, slots=True)
class Model:
    """The rules of one model."""

    thinking: Thinking = Thinking.OPTIONAL
    default_behavior: Behavior = Behavior.BLOCKING
    """For a tool whose declaration does not say."""
    behaviors: frozenset[Behavior] = frozenset(Behavior)
    """Accepted in a declaration; anything else ends the connection with 1007."""
    late_content: bool = True
    """``clientContent`` is accepted at any time; if not, only as the first message and if historyConfig announced it.
    Otherwise it ends the connection with 1007."""
    affective_dialog: bool = True
    """``enableAffectiveDialog`` is accepted."""
    optional_proactivity: bool = True
    """``proactiveAudio: false`` is accepted."""
    scheduling: bool = True
    """A tool result may have a scheduling."""
    interaction_status: bool = False
    """Every turnComplete has an interactionStatus."""
    stream_end: bool = True
    """``audioStreamEnd`` ends speech; if not, only silent audio does (openclaw#152830, python-genai#1328)."""
    handle_every_s: float | None = None
    """Interval of handles while the model is silent, asked for or not; None: one after each turn,
    if the set-up asks for them."""
    voice_activity: bool = True
    """``voiceActivity`` is sent when the person begins and stops."""


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
            late_content=False,
            handle_every_s=1.2,
            voice_activity=False,
        ),
    ),
)
"""The first match wins."""


def rules(model: str) -> Model:
    """Return the rules of ``models/…``; for an unknown model, those that refuse nothing."""
    name = model.removeprefix("models/")
    for prefix, known in _BY_PREFIX:
        if name.startswith(prefix):
            return known
    return Model()
