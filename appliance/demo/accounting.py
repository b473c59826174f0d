"""What became of every sample: compares what was captured with what a service received. Pure."""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from appliance.units import Pcm

WINDOW: Final = 64
"""So many consecutive samples, 4 ms, tell a place in a recording apart from others."""


@dataclass(frozen=True, slots=True)
class Account:
    """Sample counts; all well where lost, duplicated and strange are 0."""

    captured: int
    received: int
    lost: int
    """Captured and never received."""
    duplicated: int
    """Received more than once, without need."""
    strange: int
    """Received and never captured."""
    repeated: int = 0
    """Received more than once, as a question was asked again, or its end sent again over another connection."""

    def with_repeats(self, meant: int) -> "Account":
        """Return it with so many samples sent again on purpose."""
        repeated = min(meant, self.duplicated)
        return replace(self, duplicated=self.duplicated - repeated, repeated=repeated)


def account(captured: Pcm, received: Pcm) -> Account:
    """Compare sample by sample; after a difference, go on at the next place where the two agree for a window."""
    at, lost, duplicated, strange = 0, 0, 0, 0
    position = 0
    while position < len(received):
        same = _agreeing(captured[at:], received[position:])
        at, position = at + same, position + same
        if position == len(received):
            break
        found = _find(captured, received[position : position + WINDOW], at)
        if found is None:
            strange, position = strange + 1, position + 1
        elif found >= at:
            lost, at = lost + found - at, found
        else:
            again = min(_agreeing(captured[found:], received[position:]), at - found)
            duplicated, position = duplicated + again, position + again
    return Account(len(captured), len(received), lost + len(captured) - at, duplicated, strange)


def _agreeing(one: Pcm, other: Pcm) -> int:
    """Return how many samples are equal from the start."""
    length = min(len(one), len(other))
    differences = np.flatnonzero(one[:length] != other[:length])
    return int(differences[0]) if len(differences) else length


def _find(captured: Pcm, window: Pcm, near: int) -> int | None:
    """Return where ``window`` stands in ``captured``: after ``near`` if anywhere, else before it."""
    if not len(window) or len(captured) < len(window):
        return None
    places = np.lib.stride_tricks.sliding_window_view(captured, len(window))
    starts = np.flatnonzero(captured[: len(places)] == window[0])
    matches = starts[(places[starts] == window).all(axis=1)]
    after = matches[matches >= near]
    if len(after):
        return int(after[0])
    return int(matches[-1]) if len(matches) else None
