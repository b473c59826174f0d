"""What is owed to the service follows from the conversation alone, so that an uplink that forgets is found out."""

from dataclasses import replace

from appliance.conversation import Moment
from appliance.core.events import DeadlineReached, Event, PlaybackDrained, StopRequested, WakeDetected
from appliance.core.state import BargeIn, Context, Policy, State
from appliance.demo.expected_uplink import ExpectedUplink
from appliance.units import SampleIndex, Seconds


def spans(*steps: tuple[Event, State, int], barge_in: BargeIn = BargeIn.VOICE) -> list[tuple[int, int]]:
    """Return what is owed after these steps: an event, the state that it leads to, the end of the microphone stream."""
    owed, before = ExpectedUplink(), Context(policy=Policy(barge_in=barge_in), state=State.IDLE)
    for event, state, end in steps:
        after = replace(before, state=state)
        owed.on_moment(Moment(Seconds(0.0), event, before, after), SampleIndex(end))
        before = after
    return [(int(start), int(stop)) for start, stop in owed.spans]


DEADLINE = DeadlineReached(1)
DRAINED = PlaybackDrained(1)


def test_it_begins_before_the_end_of_the_wake_word_and_ends_with_the_conversation():
    assert spans(
        (WakeDetected(900), State.CONNECTING, 1200),
        (DEADLINE, State.LISTENING, 3000),
        (DEADLINE, State.SPEAKING, 5000),
        (DEADLINE, State.IDLE, 9000),
    ) == [(900, 9000)]


def test_where_speech_does_not_interrupt_nothing_is_owed_during_an_answer():
    assert spans(
        (WakeDetected(900), State.CONNECTING, 1200),
        (DEADLINE, State.SPEAKING, 5000),
        (DRAINED, State.LISTENING, 7000),
        (StopRequested(), State.STOPPED, 9000),
        barge_in=BargeIn.WAKE_WORD,
    ) == [(900, 5000), (7000, 9000)]


def test_a_wake_word_while_all_is_let_through_begins_nothing_new():
    assert spans(
        (WakeDetected(900), State.CONNECTING, 1200),
        (WakeDetected(4900), State.INTERRUPTED, 5000),
        (DEADLINE, State.IDLE, 9000),
    ) == [(900, 9000)]


def test_no_sample_is_owed_twice():
    assert spans(
        (WakeDetected(900), State.CONNECTING, 1200),
        (DEADLINE, State.TROUBLE, 5000),
        (WakeDetected(4800), State.CONNECTING, 5100),
        (DEADLINE, State.IDLE, 9000),
    ) == [(900, 5000), (5000, 9000)]


def test_a_conversation_lasts_to_its_rest_and_the_wake_word_is_not_missed():
    owed, before = ExpectedUplink(), Context(policy=Policy(barge_in=BargeIn.WAKE_WORD), state=State.IDLE)
    steps = (
        (WakeDetected(40_000), State.CONNECTING, 41_000),
        (DEADLINE, State.SPEAKING, 60_000),
        (WakeDetected(80_000), State.INTERRUPTED, 81_000),
        (DEADLINE, State.TROUBLE, 90_000),
        (DEADLINE, State.IDLE, 95_000),
    )
    for event, state, end in steps:
        after = replace(before, state=state)
        owed.on_moment(Moment(Seconds(0.0), event, before, after), SampleIndex(end))
        before = after
    assert owed.spans == [(40_000, 60_000), (80_000, 90_000)]
    assert owed.conversations == [(40_000, 90_000)]
    assert owed.wake_words == [(20_800, 40_000), (60_800, 80_000)]
