"""What the edges of a push button mean; pure: whoever has a clock passes the times in."""

from dataclasses import dataclass
from typing import Final

from appliance.button.ports import Edge
from appliance.core.events import Press
from appliance.units import Seconds

STUCK_S: Final = 120.0
"""Nobody holds a button longer than this: it is stuck, or something lies on it."""


@dataclass(frozen=True, slots=True)
class Pressed:
    """The button went down."""


@dataclass(frozen=True, slots=True)
class Released:
    """The button came up, or counts as up because it is stuck."""

    press: Press


class Gesture:
    """Tells taps from holds. Presses and releases alternate, whatever edges were lost or doubled."""

    def __init__(self, min_hold_s: float) -> None:
        """Count a press as a hold from ``min_hold_s`` seconds on."""
        self._min_hold_s = min_hold_s
        self._down_since: Seconds | None = None

    @property
    def stuck_at(self) -> Seconds | None:
        """When to call `check` if no edge comes before; None while the button is up."""
        return None if self._down_since is None else Seconds(self._down_since + STUCK_S)

    def feed(self, edge: Edge, at: Seconds) -> Pressed | Released | None:
        """Take an edge that happened at ``at``; None where it changes nothing."""
        if edge is Edge.DOWN and self._down_since is None:
            self._down_since = at
            return Pressed()
        if edge is Edge.UP and self._down_since is not None:
            press = Press.HOLD if at - self._down_since >= self._min_hold_s else Press.TAP
            self._down_since = None
            return Released(press)
        return None

    def check(self, at: Seconds) -> Released | None:
        """Release a button that is stuck, once; what it does until it is pressed again changes nothing."""
        if self.stuck_at is None or at < self.stuck_at:
            return None
        self._down_since = None
        return Released(Press.HOLD)
