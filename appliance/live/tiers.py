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

from appliance.live.ports import Tier

REMEMBERED: Final = timedelta(days=30)
"""Then everything is tried again: services learn."""
MODELS_REMEMBERED: Final = 8
"""The oldest one is forgotten for a ninth."""


_NAMED: Final[Mapping[Tier, str]] = MappingProxyType(
    {
        Tier.VOCABULARY: "vocabulary",
        Tier.TEMPERATURE: "temperature",
        Tier.AFFECTIVE_DIALOG: "affective",
        Tier.PROACTIVE_AUDIO: "proactiv",
        Tier.TOOL_BEHAVIOR: "behavior|blocking",
        Tier.DETECTION: "sensitivity|silence_?duration|prefix_?padding|activity_?detection",
        Tier.LANGUAGE: "language",
        Tier.THINKING: "thinking",
        Tier.SEARCH: "search",
        Tier.COMPRESSION_NUMBERS: "trigger_?tokens|target_?tokens",
        Tier.TRANSCRIPTION: "transcription",
        Tier.COMPRESSION: "compression|sliding_?window",
    }
)
"""How a reason names the part that it is about, where it does: regular expressions, case ignored."""


def drop_next(present: Collection[Tier], reason: str) -> Tier | None:
    """Return which part of a refused set-up to leave out besides: one that ``reason`` names, else the least missed.

    ``present`` is what was in the set-up; None where there was nothing optional in it: it is a person's to mend.
    """
    named = [tier for tier in Tier if tier in present and re.search(_NAMED[tier], reason, re.IGNORECASE)]
    return next((tier for tier in (*named, *Tier) if tier in present), None)


@dataclass(frozen=True, slots=True)
class Lesson:
    """What one model was found not to take."""

    model: str
    dropped: frozenset[Tier]
    learnt: date


@dataclass(frozen=True, slots=True)
class Lessons:
    """What was found out about models, newest first; at most `MODELS_REMEMBERED`. Replaced, never changed."""

    known: tuple[Lesson, ...] = ()

    def dropped(self, model: str, today: date) -> frozenset[Tier]:
        """Return what to leave out for ``model`` from the start."""
        for lesson in self.known:
            if lesson.model == model and today - lesson.learnt < REMEMBERED:
                return lesson.dropped
        return frozenset()

    def learnt(self, model: str, dropped: frozenset[Tier], today: date) -> "Lessons":
        """A set-up without ``dropped`` was taken by ``model``, after others were not."""
        others = [lesson for lesson in self.known if lesson.model != model]
        return Lessons((Lesson(model, dropped, today), *others)[:MODELS_REMEMBERED])

    def stored(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {
            lesson.model: {
                "dropped": [tier.value for tier in Tier if tier in lesson.dropped],
                "learnt": lesson.learnt.isoformat(),
            }
            for lesson in self.known
        }


def restored(stored: object) -> Lessons:
    """Return what `Lessons.stored` gave; what is not of that form is forgotten: it can be found out again."""
    if not isinstance(stored, dict):
        return Lessons()
    try:
        lessons = [
            Lesson(model, frozenset(map(Tier, entry["dropped"])), date.fromisoformat(entry["learnt"]))
            for model, entry in stored.items()
        ]
    except (KeyError, TypeError, ValueError):
        return Lessons()
    return Lessons(tuple(lessons[:MODELS_REMEMBERED]))
