"""What differs between Live models so far that the same set-up opens one and is refused by another. Pure."""

from dataclasses import dataclass
from enum import Enum
from typing import Final


class Feature(Enum):
    """What one model takes and another refuses."""

    AFFECTIVE_DIALOG = "affective dialog"
    PROACTIVE_AUDIO = "proactive audio"
    """May be asked to stay silent when it is not meant. Left out where the model always may: to say no is an error."""
    TOOL_SCHEDULING = "tool scheduling"
    """A tool's result may say when it is to be spoken of."""
    CONTENT_AT_ANY_TIME = "content at any time"
    """Content may be added to the session as long as it lasts."""
    INITIAL_HISTORY = "initial history"
    """Content may be added before the first words, and only if the set-up announces it."""
    LANGUAGE_CODE = "language code"
    """The set-up may name the language; elsewhere the model goes by what it hears and is instructed."""
    VOCABULARY = "vocabulary"
    """Transcription may be given names to expect."""
    STATUS = "interaction status"
    """It may take several turns for one request, and tells when it is done."""


@dataclass(frozen=True, slots=True)
class Capabilities:
    """How a set-up has to be written for one model. None: the field must be left out."""

    thinking_levels: tuple[str, ...] = ()
    """What may be asked for."""
    thinking_level: str | None = None
    """What is asked for where nobody has a wish."""
    tool_behavior: str | None = None
    """``BLOCKING`` where it is allowed: the model then waits for a tool's result before it speaks."""
    features: frozenset[Feature] = frozenset()

    def has(self, feature: Feature) -> bool:
        """Return whether the model is known to have it."""
        return feature in self.features


_F = Feature
MODELS: Final = (
    # Refused without a thinking level; tools are asynchronous only, and their results cannot be scheduled.
    (
        "gemini-3.8-live-extended-thinking",
        Capabilities(
            thinking_levels=("LOW", "MEDIUM", "HIGH"),
            thinking_level="LOW",
            features=frozenset({_F.CONTENT_AT_ANY_TIME, _F.LANGUAGE_CODE, _F.VOCABULARY, _F.STATUS}),
        ),
    ),
    # Refused (1007) with any thinking configuration; tools are asynchronous unless told otherwise. Proactive audio is
    # always on, affective dialog is gone.
    (
        "gemini-3.8-live",
        Capabilities(
            tool_behavior="BLOCKING",
            features=frozenset({_F.TOOL_SCHEDULING, _F.CONTENT_AT_ANY_TIME, _F.LANGUAGE_CODE, _F.VOCABULARY}),
        ),
    ),
    # Tools block, and there is no word for it. Content after the first words is refused (1007).
    (
        "gemini-3.1-flash-live",
        Capabilities(
            thinking_levels=("MINIMAL", "LOW", "MEDIUM", "HIGH"),
            features=frozenset({_F.INITIAL_HISTORY, _F.LANGUAGE_CODE}),
        ),
    ),
    # Thinks by a budget of tokens instead of levels; chooses the language by itself; tools block unless told otherwise.
    (
        "gemini-2.5-flash-native-audio",
        Capabilities(
            features=frozenset({_F.AFFECTIVE_DIALOG, _F.PROACTIVE_AUDIO, _F.TOOL_SCHEDULING, _F.CONTENT_AT_ANY_TIME}),
        ),
    ),
)
"""The first match wins. Source: ai.google.dev, Live API, model pages and migration notes of September and October
2026. Not documented, and so found out by `tiers`: language codes and vocabulary of the 3.x models."""

UNKNOWN: Final = Capabilities(features=frozenset({Feature.LANGUAGE_CODE}))
"""Of a model that is not listed only what all new ones take."""


def capabilities(model: str) -> Capabilities:
    """Return what is known of ``model``, with or without ``models/``."""
    name = model.removeprefix("models/")
    return next((known for prefix, known in MODELS if name.startswith(prefix)), UNKNOWN)
