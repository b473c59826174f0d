"""What differs between Live models so far that the same set-up opens one and is refused by another. Pure."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Capabilities:
    """How a set-up has to be written for one model. None: the field must be left out."""

    thinking_level: str | None = None
    tool_behavior: str | None = None
    """``BLOCKING`` where it is allowed: the model then waits for a tool's result before it speaks."""


_BY_PREFIX: Final = (
    # Refused without a thinking level; tools are asynchronous only.
    ("gemini-3.8-live-extended-thinking", Capabilities(thinking_level="LOW")),
    # Refused (1007) with any thinking configuration; tools are asynchronous unless told otherwise.
    ("gemini-3.8-live", Capabilities(tool_behavior="BLOCKING")),
)
"""The first match wins. Source: ai.google.dev, Live API, model pages of September and October 2026."""


def capabilities(model: str) -> Capabilities:
    """Return what is known of ``model``, with or without ``models/``; of an unknown one, that nothing is certain."""
    name = model.removeprefix("models/")
    for prefix, known in _BY_PREFIX:
        if name.startswith(prefix):
            return known
    return Capabilities()
