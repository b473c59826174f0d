"""The optional features of a set-up that are omitted one by one when the service refuses it. Pure.

The service closes with 1007 and hardly ever says why. So features are omitted until a set-up is accepted. The result is
remembered for each model, and the next connection begins with it.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from types import MappingProxyType
from typing import Any, Final

from appliance.live.ports import OptionalFeature

REMEMBERED: Final = timedelta(days=30)
"""After this, everything is tried again: services change."""
MODELS_REMEMBERED: Final = 8
"""One more, and the oldest is forgotten."""

_NAMED: Final[Mapping[OptionalFeature, str]] = MappingProxyType(
    {
        OptionalFeature.VOCABULARY: "vocabulary",
        OptionalFeature.TEMPERATURE: "temperature",
        OptionalFeature.AFFECTIVE_DIALOG: "affective",
        OptionalFeature.PROACTIVE_AUDIO: "proactiv",
        OptionalFeature.TOOL_BEHAVIOR: "behavior|blocking",
        OptionalFeature.DETECTION: "sensitivity|silence_?duration|prefix_?padding|activity_?detection",
        OptionalFeature.LANGUAGE: "language",
        OptionalFeature.THINKING: "thinking",
        OptionalFeature.SEARCH: "search",
        OptionalFeature.COMPRESSION_NUMBERS: "trigger_?tokens|target_?tokens",
        OptionalFeature.TRANSCRIPTION: "transcription",
        OptionalFeature.COMPRESSION: "compression|sliding_?window",
    }
)
"""Regular expressions, case ignored: how the service's reason may name a feature."""


def next_to_omit(present: Collection[OptionalFeature], reason: str) -> OptionalFeature | None:
    """Return the next feature to omit from a refused set-up: one that ``reason`` names, else the least important.

    ``present`` are the features that it had; None if there were none: only a person can fix it.
    """
    named = [one for one in OptionalFeature if one in present and re.search(_NAMED[one], reason, re.IGNORECASE)]
    return next((one for one in (*named, *OptionalFeature) if one in present), None)


@dataclass(frozen=True, slots=True)
class ModelLimitation:
    """The features that one model was found to refuse."""

    model: str
    omitted: frozenset[OptionalFeature]
    found_on: date


@dataclass(frozen=True, slots=True)
class ModelLimitations:
    """The limitations of at most `MODELS_REMEMBERED` models, newest first. Replaced, never changed."""

    known: tuple[ModelLimitation, ...] = ()

    def omitted(self, model: str, today: date) -> frozenset[OptionalFeature]:
        """Return the features to omit for ``model`` from the start."""
        for limitation in self.known:
            if limitation.model == model and today - limitation.found_on < REMEMBERED:
                return limitation.omitted
        return frozenset()

    def adding(self, model: str, omitted: frozenset[OptionalFeature], today: date) -> "ModelLimitations":
        """Add that ``model`` accepts a set-up without ``omitted``, and refused one with more."""
        others = [limitation for limitation in self.known if limitation.model != model]
        return ModelLimitations((ModelLimitation(model, omitted, today), *others)[:MODELS_REMEMBERED])

    def stored(self) -> dict[str, Any]:
        """Return the limitations as JSON values."""
        return {
            limitation.model: {
                "dropped": [feature.value for feature in OptionalFeature if feature in limitation.omitted],
                "learnt": limitation.found_on.isoformat(),
            }
            for limitation in self.known
        }


def restored(stored: object) -> ModelLimitations:
    """Restore the value of `ModelLimitations.stored`; anything else is ignored: limitations can be found again."""
    if not isinstance(stored, dict):
        return ModelLimitations()
    try:
        limitations = [
            ModelLimitation(
                model, frozenset(map(OptionalFeature, entry["dropped"])), date.fromisoformat(entry["learnt"])
            )
            for model, entry in stored.items()
        ]
    except (KeyError, TypeError, ValueError):
        return ModelLimitations()
    return ModelLimitations(tuple(limitations[:MODELS_REMEMBERED]))
