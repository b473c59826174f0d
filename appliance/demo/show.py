"""Tells a demo on the terminal as it happens; the light itself is the terminal adapter's."""

from typing import TextIO

from rich.console import Console
from rich.text import Text

from appliance.console.output import SafeConsole
from appliance.conversation import Moment
from appliance.core.events import (
    ButtonPressed,
    ButtonReleased,
    LinkOpened,
    PlaybackDrained,
    ReplyEnded,
    ReplyStarted,
    ServerInterrupted,
    ToolsCalled,
    UserSilent,
    UserSpeech,
)
from appliance.core.state import State
from appliance.core.trouble_messages import TROUBLE_MESSAGES
from appliance.demo import figures
from appliance.demo.recorder import Recording
from appliance.errors import ApplianceError
from appliance.indicator.patterns import described, pattern_of
from appliance.live.ports import Role, Turn
from appliance.units import UPLINK
from appliance.wake.ports import Detection

WORDS = {
    ButtonPressed: "the button is pressed",
    ButtonReleased: "the button is released",
    LinkOpened: "the link is open; what was held is sent",
    UserSpeech: "the service hears speech",
    UserSilent: "the service hears the end of it",
    ToolsCalled: "the model calls a tool",
    ReplyStarted: "the first audio of an answer comes",
    ReplyEnded: "the answer has come in full; it is still being played",
    ServerInterrupted: "the service says: interrupted; playback is emptied",
    PlaybackDrained: "the last sample of the answer has been heard",
}


_SPEAKERS = {Role.PERSON: "the person said", Role.MODEL: "the answer was"}


def plain(file: TextIO | None = None) -> Console:
    """Return a console, by default on the standard output, that prints a path as it is though it look like markup."""
    return SafeConsole(file=file, highlight=False, markup=False, emoji=False)


class Show:
    """Writes one line for each thing worth seeing."""

    def __init__(self, console: Console, recording: Recording) -> None:
        self._console = console
        self._recording = recording

    def on_moment(self, moment: Moment) -> None:
        """Tell what happened, if it is worth a line, and what the light and the appliance make of it."""
        at, before, after = self._recording.since_start(moment.at), moment.before, moment.after
        words = WORDS.get(type(moment.event))
        if words and before != after:
            self._line(at, words)
        if after.state is before.state:
            return
        if self._console.is_terminal:  # elsewhere the light itself writes a line
            kind = after.trouble if after.state is State.TROUBLE else None
            self._line(at, f"{after.state.value}: the light is {described(pattern_of(after.state, kind))}", "dim")
        if after.state is State.TROUBLE and after.trouble is not None:
            self._line(at, f"the appliance says: “{TROUBLE_MESSAGES[after.trouble]}”", "yellow")

    def on_said(self, turn: Turn) -> None:
        """Tell the words of a turn that is over."""
        self._line(None, f"{_SPEAKERS[turn.speaker]}: “{turn.text}”", "bold")

    def on_detection(self, detection: Detection) -> None:
        """Tell of the wake word."""
        at, sample = detection.end_sample / UPLINK.rate_hz, figures.samples(detection.end_sample)
        score = figures.score(detection.score)
        self._line(at, f"wake word {detection.model}, score {score}, ends at sample {sample}")

    def on_error(self, error: ApplianceError) -> None:
        """Tell of trouble."""
        self._line(None, str(error), "red")

    def _line(self, at: float | None, words: str, style: str = "") -> None:
        time = "" if at is None else figures.seconds(max(at, 0.0))
        # Padded: the light's line, which stands on the same line of a terminal, is to be covered.
        self._console.print(Text(f"{time:>9}  {words}".ljust(40), style), soft_wrap=True)
