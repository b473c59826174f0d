"""Differences between Live models that make one refuse a set-up which another accepts. Pure."""

from dataclasses import dataclass
from enum import Enum
from typing import Final


class Feature(Enum):
    """Features that only some models support."""

    AFFECTIVE_DIALOG = "affective dialog"
    PROACTIVE_AUDIO = "proactive audio"
    """The model can be asked to stay silent when not addressed. Absent where it always does: declining is an error."""
    TOOL_SCHEDULING = "tool scheduling"
    """A tool result can say when the model is to speak of it."""
    CONTENT_AT_ANY_TIME = "content at any time"
    """Content can be added to the session at any time."""
    INITIAL_HISTORY = "initial history"
    """Content can be added before the first speech, only if the set-up announces it."""
    LANGUAGE_CODE = "language code"
    """The set-up can name the language; otherwise the model goes by speech and instructions."""
    VOCABULARY = "vocabulary"
    """Transcription can be given names to expect."""
    STATUS = "interaction status"
    """The model may take several turns for one request, and reports when it is done."""


@dataclass(frozen=True, slots=True)
class Capabilities:
    """The set-up that one model accepts. None: the field must be omitted."""

    thinking_levels: tuple[str, ...] = ()
    """Accepted levels."""
    thinking_level: str | None = None
    """Level to ask for by default."""
    tool_behavior: str | None = None
    """``BLOCKING`` if it may be asked for: the model then waits for a tool's result before it speaks."""
    features: frozenset[Feature] = frozenset()

    def has(self, feature: Feature) -> bool:
        """Return whether the model is known to support a feature."""
        return feature in self.features


_F = Feature
MODELS: Final = (
    # Requires a thinking level; tools are asynchronous only, and their results cannot be scheduled.
    (
        "gemini-3.8-live-extended-thinking",
        Capabilities(
            thinking_levels=("LOW", "MEDIUM", "HIGH"),
            thinking_level="LOW",
            features=frozenset({_F.CONTENT_AT_ANY_TIME, _F.LANGUAGE_CODE, _F.VOCABULARY, _F.STATUS}),
        ),
    ),
    # Refuses (1007) any thinking configuration; tools are asynchronous by default. Proactive audio is always on,
    # affective dialog was removed.
    (
        "gemini-3.8-live",
        Capabilities(
            tool_behavior="BLOCKING",
            features=frozenset({_F.TOOL_SCHEDULING, _F.CONTENT_AT_ANY_TIME, _F.LANGUAGE_CODE, _F.VOCABULARY}),
        ),
    ),
    # Tools block, and the behavior cannot be set. Content after the first speech is refused (1007).
    (
        "gemini-3.1-flash-live",
        Capabilities(
            thinking_levels=("MINIMAL", "LOW", "MEDIUM", "HIGH"),
            features=frozenset({_F.INITIAL_HISTORY, _F.LANGUAGE_CODE}),
        ),
    ),
    # Thinks by a token budget instead of levels; chooses the language by itself; tools block by default.
    (
        "gemini-2.5-flash-native-audio",
        Capabilities(
            features=frozenset({_F.AFFECTIVE_DIALOG, _F.PROACTIVE_AUDIO, _F.TOOL_SCHEDULING, _F.CONTENT_AT_ANY_TIME}),
        ),
    ),
)
"""The first match wins. Source: ai.google.dev, Live API, model pages and migration notes of September and October
2026. Not documented, and so found by `setup_fallback`: language codes and vocabulary of the 3.x models."""

UNKNOWN: Final = Capabilities(features=frozenset({Feature.LANGUAGE_CODE}))
"""For a model that is not listed: only what all new ones accept."""


def capabilities(model: str) -> Capabilities:
    """Return the capabilities of ``model``, with or without ``models/``."""
    name = model.removeprefix("models/")
    return next((known for prefix, known in MODELS if name.startswith(prefix)), UNKNOWN)
