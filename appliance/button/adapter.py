"""Turns the button's edges into the conversation's events."""

import asyncio
from collections.abc import Callable

from appliance.button.gesture import Gesture, Pressed, Released
from appliance.button.ports import Edge
from appliance.core.events import ButtonPressed, ButtonReleased, Event
from appliance.units import SampleIndex, Seconds


class ButtonAdapter:
    """One button; loop thread only. Holds at most one timer, for a button that is stuck."""

    def __init__(
        self, gesture: Gesture, newest: Callable[[], SampleIndex], preroll: int, post: Callable[[Event], None]
    ) -> None:
        """``newest`` tells the index after the newest microphone sample; a turn begins ``preroll`` samples before."""
        self._gesture = gesture
        self._newest = newest
        self._preroll = preroll
        self._post = post
        self._stuck: asyncio.TimerHandle | None = None

    def on_edge(self, edge: Edge) -> None:
        """Take an edge that has just happened."""
        loop = asyncio.get_running_loop()
        self._tell(self._gesture.feed(edge, Seconds(loop.time())))
        self.close()
        if self._gesture.stuck_at is not None:
            self._stuck = loop.call_at(self._gesture.stuck_at, self._check)

    def close(self) -> None:
        """Give the timer up."""
        if self._stuck is not None:
            self._stuck.cancel()
            self._stuck = None

    def _check(self) -> None:
        self._tell(self._gesture.check(Seconds(asyncio.get_running_loop().time())))

    def _tell(self, happened: Pressed | Released | None) -> None:
        match happened:
            case Pressed():
                self._post(ButtonPressed(max(0, self._newest() - self._preroll)))
            case Released(press):
                self._post(ButtonReleased(press, self._newest()))
            case None:
                pass
