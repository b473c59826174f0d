"""A conversation core, and stories that lead it to a state."""

from appliance.core import effects as fx
from appliance.core import events as ev
from appliance.core.machine import step
from appliance.core.state import BargeIn, Context, Gate, Policy, State

OPEN, HOLD, CLOSED = Gate.OPEN, Gate.HOLD, Gate.CLOSED


class Story:
    """Tells events one after the other and keeps the last effects."""

    def __init__(self, barge_in: BargeIn = BargeIn.WAKE_WORD) -> None:
        self.context = Context(Policy(barge_in=barge_in), echo_cancelled=True)
        self.effects: tuple[fx.Effect, ...] = ()

    def tell(self, *events: ev.Event) -> "Story":
        for event in events:
            self.context, self.effects = step(self.context, event)
        return self

    def deadline(self) -> "Story":
        return self.tell(ev.DeadlineReached(self.context.entry))

    def at(self, state: State) -> bool:
        return self.context.state is state

    def did(self, kind: type[fx.Effect]) -> list[fx.Effect]:
        return [effect for effect in self.effects if isinstance(effect, kind)]


def listening(barge_in: BargeIn = BargeIn.WAKE_WORD) -> Story:
    return Story(barge_in).tell(ev.Ready(), ev.WakeDetected(100), ev.LinkOpened(1))


def speaking(barge_in: BargeIn = BargeIn.WAKE_WORD) -> Story:
    return beginning(barge_in).tell(ev.ReplyAudible(7, over_speech=False))


def beginning(barge_in: BargeIn = BargeIn.WAKE_WORD) -> Story:
    return listening(barge_in).tell(ev.UserSpeech(1), ev.UserSilent(1), ev.ReplyStarted(1, 7))


def held() -> Story:
    return Story().tell(ev.Ready(), ev.ButtonPressed(100), ev.LinkOpened(1))


LOST = ev.LinkLost(1, resumable=True, trouble=ev.Trouble.LOST)
LOST_AGAIN = ev.LinkLost(2, resumable=True, trouble=ev.Trouble.LOST)


def thinking() -> Story:
    return listening().tell(ev.UserSpeech(1), ev.UserSilent(1))
