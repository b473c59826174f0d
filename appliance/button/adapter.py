"""Turns the edges of the push-to-talk button into presses and releases, and these into the core's events."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from appliance.button.ports import ButtonEdge
from appliance.clock import loop_time
from appliance.core.events import ButtonPressed, ButtonReleased, Event, Press
from appliance.units import SampleIndex, Seconds

STUCK_S: Final = 120.0
"""A button that is down for longer is stuck, or something lies on it."""


@dataclass(frozen=True, slots=True)
class Pressed:
    """The button went down."""


@dataclass(frozen=True, slots=True)
class Released:
    """The button came up, or counts as up because it is stuck."""

    press: Press


class Gesture:
    """Tells taps from holds; pure. Presses and releases alternate even if edges are lost or doubled."""

    def __init__(self, min_hold_s: float) -> None:
        """Count a press of ``min_hold_s`` seconds or more as a hold."""
        self._min_hold_s = min_hold_s
        self._down_since: Seconds | None = None

    @property
    def stuck_at(self) -> Seconds | None:
        """When to call `check` if no edge comes first; None while the button is up."""
        return None if self._down_since is None else Seconds(self._down_since + STUCK_S)

    def feed(self, edge: ButtonEdge, at: Seconds) -> Pressed | Released | None:
        """Take an edge that happened at ``at``; None if it changes nothing."""
        if edge is ButtonEdge.DOWN and self._down_since is None:
            self._down_since = at
            return Pressed()
        if edge is ButtonEdge.UP and self._down_since is not None:
            press = Press.HOLD if at - self._down_since >= self._min_hold_s else Press.TAP
            self._down_since = None
            return Released(press)
        return None

    def check(self, at: Seconds) -> Released | None:
        """Release a stuck button, once; its real release is then ignored."""
        if self.stuck_at is None or at < self.stuck_at:
            return None
        self._down_since = None
        return Released(Press.HOLD)


class ButtonAdapter:
    """One button; loop thread only. Has at most one timer, for a stuck button."""

    def __init__(
        self, gesture: Gesture, newest: Callable[[], SampleIndex], preroll: int, post: Callable[[Event], None]
    ) -> None:
        """``newest`` returns the end index of the microphone's samples; a turn begins ``preroll`` samples before it."""
        self._gesture = gesture
        self._newest = newest
        self._preroll = preroll
        self._post = post
        self._stuck: asyncio.TimerHandle | None = None

    def on_edge(self, edge: ButtonEdge) -> None:
        """Handle an edge that has just happened."""
        loop = asyncio.get_running_loop()
        self._report(self._gesture.feed(edge, Seconds(loop.time())))
        self.close()
        if self._gesture.stuck_at is not None:
            self._stuck = loop.call_at(self._gesture.stuck_at, self._check)

    def close(self) -> None:
        """Cancel the timer."""
        if self._stuck is not None:
            self._stuck.cancel()
            self._stuck = None

    def _check(self) -> None:
        self._report(self._gesture.check(loop_time()))

    def _report(self, happened: Pressed | Released | None) -> None:
        match happened:
            case Pressed():
                self._post(ButtonPressed(max(0, self._newest() - self._preroll)))
            case Released(press):
                self._post(ButtonReleased(press, self._newest()))
            case None:
                pass
