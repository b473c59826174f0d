"""Prints a demo's progress; the light itself is shown by the terminal adapter."""

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
from appliance.demo.recorder import Recording
from appliance.errors import ApplianceError
from appliance.indicator.patterns import described, pattern_of
from appliance.live.ports import Role, Turn
from appliance.units import UPLINK
from appliance.wake.ports import Detection

EVENT_TEXTS = {
    ButtonPressed: "the button is pressed",
    ButtonReleased: "the button is released",
    LinkOpened: "the connection is open; buffered speech is sent",
    UserSpeech: "the service hears speech",
    UserSilent: "the service hears the end of speech",
    ToolsCalled: "the model calls a tool",
    ReplyStarted: "the first audio of an answer arrives",
    ReplyEnded: "the answer is complete; it is still playing",
    ServerInterrupted: "the service reports an interruption; playback is flushed",
    PlaybackDrained: "the last sample of the answer has been played",
}
_SPEAKERS = {Role.PERSON: "the person said", Role.MODEL: "the answer was"}


def make_console(file: TextIO | None = None) -> Console:
    """Return a console, by default on standard output, that prints text verbatim even if it looks like markup."""
    return SafeConsole(file=file, highlight=False, markup=False, emoji=False)


class ProgressPrinter:
    """Prints one line for each noteworthy event."""

    def __init__(self, console: Console, recording: Recording) -> None:
        self._console = console
        self._recording = recording

    def on_moment(self, moment: Moment) -> None:
        """Print an event if it is noteworthy, and the new light and trouble message."""
        at_s, before, after = self._recording.since_start(moment.at), moment.before, moment.after
        text = EVENT_TEXTS.get(type(moment.event))
        if text and before != after:
            self._line(at_s, text)
        if after.state is before.state:
            return
        if self._console.is_terminal:  # elsewhere the light itself prints a line
            kind = after.trouble if after.state is State.TROUBLE else None
            self._line(at_s, f"{after.state.value}: the light is {described(pattern_of(after.state, kind))}", "dim")
        if after.state is State.TROUBLE and after.trouble is not None:
            self._line(at_s, f"the appliance says: “{TROUBLE_MESSAGES[after.trouble]}”", "yellow")

    def on_said(self, turn: Turn) -> None:
        """Print the words of a finished turn."""
        self._line(None, f"{_SPEAKERS[turn.role]}: “{turn.text}”", "bold")

    def on_detection(self, detection: Detection) -> None:
        """Print a detected wake word."""
        at_s, score, sample = detection.end_sample / UPLINK.rate_hz, detection.score, detection.end_sample
        self._line(at_s, f"wake word {detection.model}, score {score:.2f}, ends at sample {sample:,}")

    def on_error(self, error: ApplianceError) -> None:
        """Print an error."""
        self._line(None, str(error), "red")

    def _line(self, at_s: float | None, text: str, style: str = "") -> None:
        time = "" if at_s is None else f"{max(at_s, 0.0):.2f} s"
        # Padded, to cover the light's text on the same line of a terminal.
        self._console.print(Text(f"{time:>9}  {text}".ljust(40), style), soft_wrap=True)
