"""Every context that events can lead to, once each: the table says exactly where each row may lead.

Numbers that only grow (links, epochs, deadlines) are brought back to their first value after every step: whatever the
conversation does depends on whether they are current, not on how great they are.
"""

from collections.abc import Iterator
from dataclasses import replace

from appliance.core import events as ev
from appliance.core.machine import TABLE, Row, step
from appliance.core.state import BargeIn, Context, Policy, State

FAULTS = (ev.Fault.MICROPHONE, ev.Fault.WAKE_WORD)
CALLS = ("a",)
"""One of each kind is enough: a second makes no state that the first does not."""
TOOL_CALLS = 1


def _first(context: Context) -> Context:
    # Without a greeting, it makes no difference whether somebody was greeted.
    numbered = replace(context, entry=0, link=min(context.link, 1), epoch=min(context.epoch, 1), question=0)
    return replace(numbered, calls=min(context.calls, TOOL_CALLS + 1), greeted=False)


def _events(context: Context) -> Iterator[ev.Event]:
    """Yield all that can happen now, and is not late."""
    link, epoch = context.link, context.epoch
    yield from (ev.Ready(), ev.StopRequested(), ev.EndRequested(), ev.DeadlineReached(context.entry))
    for fault in FAULTS:
        yield from (ev.FaultRaised(fault), ev.FaultCleared(fault))
    yield from (ev.WakeDetected(0), ev.ButtonPressed(0))
    yield from (ev.ButtonReleased(press, 0) for press in ev.Press)
    yield from (ev.LinkOpened(link, continuity) for continuity in ev.Continuity)
    yield from (ev.LinkDelayed(link, ev.Trouble.NETWORK), ev.LinkFailed(link, ev.Trouble.NETWORK))
    for yes in (True, False):
        yield from (ev.LinkLost(link, yes, ev.Trouble.NETWORK, speaks) for speaks in (True, False))
        yield from (ev.Unanswered(link, yes, heard) for heard in (True, False))
    yield from (ev.UserSpeech(link), ev.UserSilent(link), ev.ServerInterrupted(link))
    yield from (ev.ReplyStarted(link, epoch + 1), ev.ReplyEnded(link, epoch), ev.ReplyEnded(link, 0))
    yield from (ev.PlaybackDrained(epoch), ev.PlaybackStalled(epoch))
    yield from (ev.CapReached(link, ev.Trouble.NETWORK), ev.TextEntered("a"))
    yield from (ev.ToolsCalled(link, CALLS), ev.ToolsCancelled(link, CALLS))
    yield from (ev.ToolDone(*CALLS), ev.ToolSlow(*CALLS), ev.ToolTimeOver(context.question))


def reached() -> dict[tuple[type[ev.Event], State], set[State]]:
    """Return the states that each event has led to from each state."""
    found: dict[tuple[type[ev.Event], State], set[State]] = {}
    start = Context(Policy(barge_in=BargeIn.VOICE, resumptions=1, tool_calls=TOOL_CALLS))
    waiting, known = [start], {start}
    # A greeting leads to nothing else that is new.
    found[ev.DeadlineReached, State.LISTENING] = {
        step(Context(Policy(greeting="a"), State.LISTENING), ev.DeadlineReached(0))[0].state
    }
    while waiting:
        context = waiting.pop()
        for event in _events(context):
            after = step(context, event)[0]
            found.setdefault((type(event), context.state), set()).add(after.state)
            if after is not context and (after := _first(after)) not in known:
                known.add(after)
                waiting.append(after)
    return found


def test_a_row_leads_to_all_the_states_that_the_table_names_and_to_no_other():
    found, wrong = reached(), []
    for event in ev.EVENTS:
        for state in State:
            row = TABLE[event][state]
            named = {state, *row.to} if isinstance(row, Row) else {state}
            leads = found[event, state] | {state}
            if leads != named:
                wrong.append((event.__name__, state, named, leads))
    assert not wrong
