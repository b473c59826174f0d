"""The optional parts of a set-up, in the order in which they are given up when the service refuses it. Pure.

The service says 1007 and hardly ever why. So parts are left out one after the other until a set-up is taken, and what
was left out is remembered for the model: the next connection begins with it.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from types import MappingProxyType
from typing import Any, Final

from appliance.live.ports import OptionalFeature

REMEMBERED: Final = timedelta(days=30)
"""Then everything is tried again: services learn."""
MODELS_REMEMBERED: Final = 8
"""The oldest one is forgotten for a ninth."""


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
"""How a reason names the part that it is about, where it does: regular expressions, case ignored."""


def drop_next(present: Collection[OptionalFeature], reason: str) -> OptionalFeature | None:
    """Return which part of a refused set-up to leave out besides: one that ``reason`` names, else the least missed.

    ``present`` is what was in the set-up; None where there was nothing optional in it: it is a person's to mend.
    """
    named = [tier for tier in OptionalFeature if tier in present and re.search(_NAMED[tier], reason, re.IGNORECASE)]
    return next((tier for tier in (*named, *OptionalFeature) if tier in present), None)


@dataclass(frozen=True, slots=True)
class ModelLimitation:
    """What one model was found not to take."""

    model: str
    dropped: frozenset[OptionalFeature]
    learnt: date


@dataclass(frozen=True, slots=True)
class ModelLimitations:
    """What was found out about models, newest first; at most `MODELS_REMEMBERED`. Replaced, never changed."""

    known: tuple[ModelLimitation, ...] = ()

    def dropped(self, model: str, today: date) -> frozenset[OptionalFeature]:
        """Return what to leave out for ``model`` from the start."""
        for lesson in self.known:
            if lesson.model == model and today - lesson.learnt < REMEMBERED:
                return lesson.dropped
        return frozenset()

    def learnt(self, model: str, dropped: frozenset[OptionalFeature], today: date) -> "ModelLimitations":
        """A set-up without ``dropped`` was taken by ``model``, after others were not."""
        others = [lesson for lesson in self.known if lesson.model != model]
        return ModelLimitations((ModelLimitation(model, dropped, today), *others)[:MODELS_REMEMBERED])

    def stored(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {
            lesson.model: {
                "dropped": [tier.value for tier in OptionalFeature if tier in lesson.dropped],
                "learnt": lesson.learnt.isoformat(),
            }
            for lesson in self.known
        }


def restored(stored: object) -> ModelLimitations:
    """Return what `ModelLimitations.stored` gave; what is not of that form is forgotten: it can be found out again."""
    if not isinstance(stored, dict):
        return ModelLimitations()
    try:
        lessons = [
            ModelLimitation(
                model, frozenset(map(OptionalFeature, entry["dropped"])), date.fromisoformat(entry["learnt"])
            )
            for model, entry in stored.items()
        ]
    except (KeyError, TypeError, ValueError):
        return ModelLimitations()
    return ModelLimitations(tuple(lessons[:MODELS_REMEMBERED]))
