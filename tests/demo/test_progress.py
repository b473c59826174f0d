"""The demo's screen: light, trouble and words stay on it, and numbers look alike."""

import io

import pytest

from appliance.console.output import SafeConsole
from appliance.conversation import Moment
from appliance.core.events import LinkFailed, Trouble, WakeDetected
from appliance.core.state import Context, State
from appliance.demo.progress import ProgressPrinter
from appliance.demo.recorder import Recording
from appliance.live.ports import Role, Turn
from appliance.units import SampleIndex, Seconds
from appliance.wake.ports import Detection

IDLE = Context(state=State.IDLE)
CONNECTING = Context(state=State.CONNECTING)
NO_NETWORK = Context(state=State.TROUBLE, trouble=Trouble.NETWORK)


class Screen:
    """A demo that is shown, on a terminal unless told otherwise."""

    def __init__(self, *, terminal: bool = True) -> None:
        self._out = io.StringIO()
        console = SafeConsole(file=self._out, force_terminal=terminal, color_system=None, width=120)
        self.show = ProgressPrinter(console, Recording(started_at=Seconds(100.0)))

    @property
    def lines(self) -> list[str]:
        return [line.rstrip() for line in self._out.getvalue().splitlines()]


@pytest.mark.parametrize("terminal", [True, False])
def test_each_light_leaves_a_line_on_a_terminal_where_its_own_changes_in_place(terminal: bool):
    screen = Screen(terminal=terminal)
    screen.show.on_moment(Moment(Seconds(101.5), WakeDetected(0), IDLE, CONNECTING))
    shown = ["   1.50 s  connecting: the light is blue, dips every 1 s"]
    assert screen.lines == (shown if terminal else [])


def test_trouble_leaves_its_light_and_its_sentence():
    screen = Screen()
    screen.show.on_moment(Moment(Seconds(102.0), LinkFailed(1, Trouble.NETWORK), CONNECTING, NO_NETWORK))
    assert screen.lines == [
        "   2.00 s  trouble: the light is amber, 1 blink every 3 s",
        "   2.00 s  the appliance says: “There is no network. Check the router.”",
    ]


def test_the_words_of_question_and_answer_are_shown():
    screen = Screen()
    screen.show.on_said(Turn(Role.PERSON, "How far is the moon?"))
    screen.show.on_said(Turn(Role.MODEL, "Far."))
    assert screen.lines == [f"{'':9}  the person said: “How far is the moon?”", f"{'':9}  the answer was: “Far.”"]


def test_a_detection_is_written_like_the_report():
    screen = Screen()
    screen.show.on_detection(Detection("hey_x", SampleIndex(37_120), 0.754))
    assert screen.lines == ["   2.32 s  wake word hey_x, score 0.75, ends at sample 37,120"]
