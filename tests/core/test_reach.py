"""Every context that events can lead to, once each: the table says exactly where each row may lead.

Numbers that only grow (links, epochs, deadlines) are brought back to their first value after every step: whatever the
conversation does depends on whether they are current, not on how great they are.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest

from appliance.core import events as ev
from appliance.core.machine import TABLE, Row, step
from appliance.core.state import BargeIn, Context, Policy, State, Yielding

CALLS = ("a",)
"""One of each kind is enough: a second makes no state that the first does not."""


@dataclass(frozen=True)
class World:
    """Part of the state space: faults, policy and extra events. All at once would be too many to walk through."""

    faults: tuple[ev.Fault, ...]
    policy: Policy
    whole: bool = True
    """Caps and words over the beginning of a reply, too."""
    time_over: bool = False
    counts_calls: bool = False
    interaction: bool = False
    """The service tells how it stands with requests; in that world there are no buttons, texts and tools."""


VOICE = BargeIn.VOICE
WORLDS = (
    World((ev.Fault.MICROPHONE, ev.Fault.WAKE_WORD), Policy(VOICE, resumptions=1), whole=False),
    World((), Policy(VOICE, resumptions=1), whole=False, time_over=True),
    World(
        (ev.Fault.WAKE_WORD,),
        Policy(VOICE, resumptions=0, tool_calls=0, unanswered_turns=1),
        whole=False,
        counts_calls=True,
    ),
    World((), Policy(VOICE, resumptions=0), time_over=True, interaction=True),
)


def _first(context: Context, world: World) -> Context:
    return replace(
        context,
        entry=0,
        link=min(context.link, 1),
        epoch=min(context.epoch, 1),
        question=0,
        request=0,
        cap=context.cap and ev.Trouble.NETWORK,
        calls=min(context.calls, int(world.counts_calls)),
        unanswered=0,
        interruptions=0,
        answers=0,
        asker_unverified=False,
        # Without a greeting, it makes no difference whether somebody was greeted.
        greeted=False,
    )


def _events(context: Context, world: World) -> Iterator[ev.Event]:
    """Yield all that can happen now, and is not late."""
    link, epoch = context.link, context.epoch
    yield from (ev.Ready(), ev.StopRequested(), ev.EndRequested(), ev.DeadlineReached(context.entry))
    for fault in world.faults:
        yield from (ev.FaultRaised(fault), ev.FaultCleared(fault))
    yield ev.WakeDetected(0)
    yield from (ev.LinkOpened(link, continuity) for continuity in ev.Continuity)
    yield from (ev.LinkDelayed(link, ev.Trouble.NETWORK), ev.LinkFailed(link, ev.Trouble.NETWORK))
    for yes in (True, False):
        yield from (ev.LinkLost(link, yes, ev.Trouble.NETWORK, speaks) for speaks in (True, False))
        yield from (ev.Unanswered(link, yes, heard) for heard in (True, False))
    yield from (ev.UserSpeech(link), ev.UserSilent(link), ev.ServerInterrupted(link), ev.NobodyAsked(link))
    yield from (ev.ReplyStarted(link, epoch + 1), ev.ReplyEnded(link, epoch), ev.ReplyEnded(link, 0))
    yield from (ev.PlaybackDrained(epoch), ev.PlaybackStalled(epoch), ev.OverlapEnded())
    if world.whole:
        yield from (ev.ReplyAudible(epoch, over_speech) for over_speech in (True, False))
        yield ev.CapReached(link, ev.Trouble.NETWORK)
    if world.counts_calls:
        yield ev.ToolTimeOver(context.question)
    if world.interaction:
        yield from (ev.InteractionReported(link, in_progress) for in_progress in (True, False))
        yield from (ev.InputAwaited(link), ev.TurnRefused(link))
    else:
        yield from (ev.ButtonPressed(0), ev.TextEntered("a"))
        yield from (ev.ButtonReleased(press, 0) for press in ev.Press)
        yield from (ev.ToolsCalled(link, CALLS), ev.ToolsCancelled(link, CALLS))
        yield from (ev.ToolDone(*CALLS), ev.ToolSlow(*CALLS))
    if world.time_over:
        yield ev.ConversationTimeOver(context.request)


def reached() -> dict[tuple[type[ev.Event], State], set[State]]:
    """Return the states that each event has led to from each state."""
    # A greeting leads to nothing else that is new.
    greeted = step(Context(Policy(greeting="a"), State.LISTENING), ev.DeadlineReached(0))[0].state
    found = {(event, state): {state} for event in ev.EVENTS for state in State}
    found[ev.DeadlineReached, State.LISTENING].add(greeted)
    # Nor does a reply that yields.
    paused = Context(state=State.SPEAKING, link=1, linked=True, yielding=Yielding.PAUSED)
    found[ev.UserSpeech, State.SPEAKING].add(step(paused, ev.UserSpeech(1))[0].state)
    for world in WORLDS:
        _walk(world, found)
    return found


def _walk(world: World, found: dict[tuple[type[ev.Event], State], set[State]]) -> None:
    start = Context(world.policy)
    waiting, known, seen = [start], {start}, {start}
    while waiting:
        context = waiting.pop()
        for event in _events(context, world):
            after = step(context, event)[0]
            found[type(event), context.state].add(after.state)
            if after is context or after in seen:
                continue
            seen.add(after)
            if (after := _first(after, world)) not in known:
                known.add(after)
                waiting.append(after)


@pytest.mark.slow
def test_a_row_leads_to_all_the_states_that_the_table_names_and_to_no_other():
    found, wrong = reached(), []
    for event in ev.EVENTS:
        for state in State:
            row = TABLE[event][state]
            named = {state, *row.to} if isinstance(row, Row) else {state}
            leads = found[event, state]
            if leads != named:
                wrong.append((event.__name__, state, named, leads))
    assert not wrong
