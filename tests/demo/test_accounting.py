"""The accounting finds lost, duplicated and foreign samples; what was to be sent follows from the conversation."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.conversation import Moment
from appliance.core.events import DeadlineReached, Event, PlaybackDrained, StopRequested, WakeDetected
from appliance.core.state import BargeIn, Context, Policy, State
from appliance.demo.accounting import Account, ExpectedUplink, Span, account, unsent_speech_s
from appliance.units import UPLINK, Pcm, SampleIndex, Seconds


def noise(samples: int, seed: int = 1) -> Pcm:
    return np.random.default_rng(seed).integers(-2000, 2000, samples).astype(np.int16)


def test_equal_is_equal():
    pcm = noise(5000)
    assert account(pcm, pcm) == Account(5000, 5000, 0, 0, 0)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 4000), st.integers(1, 900))
def test_a_gap_is_counted(start: int, length: int):
    pcm = noise(5000)
    found = account(pcm, np.delete(pcm, slice(start, start + length)))
    assert (found.lost, found.duplicated, found.strange) == (length, 0, 0)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 4000), st.integers(70, 900))
def test_a_repetition_is_counted(start: int, length: int):
    pcm = noise(5000)
    end = start + length
    found = account(pcm, np.concatenate([pcm[:end], pcm[start:end], pcm[end:]]))
    assert (found.lost, found.duplicated, found.strange) == (0, length, 0)


def test_a_missing_end_and_nothing_at_all_are_losses():
    pcm = noise(1000)
    assert account(pcm, pcm[:400]).lost == 600
    assert account(pcm, pcm[:0]).lost == 1000


def test_foreign_samples_are_strange():
    pcm = noise(1000)
    found = account(pcm, np.concatenate([pcm[:500], noise(100, seed=2), pcm[500:]]))
    assert (found.lost, found.duplicated, found.strange) == (0, 0, 100)


def test_one_changed_sample_is_noticed():
    pcm = noise(1000)
    changed = pcm.copy()
    changed[300] += 1
    found = account(pcm, changed)
    assert found.strange + found.lost + found.duplicated > 0


def test_what_is_skipped_as_echo_is_not_lost_but_no_more_than_that():
    pcm = noise(1000)
    short = account(pcm, pcm[300:])
    assert (short.with_echo(400).lost, short.with_echo(400).echo) == (0, 300)
    assert (short.with_echo(100).lost, short.with_echo(100).echo) == (200, 100)


def spans(*steps: tuple[Event, State, int], barge_in: BargeIn = BargeIn.VOICE) -> list[tuple[int, int]]:
    """Return the expected spans after steps of event, state that it leads to, and end of the microphone stream."""
    expected, before = (
        ExpectedUplink(),
        Context(policy=Policy(barge_in=barge_in), state=State.IDLE, echo_cancelled=True),
    )
    for event, state, end in steps:
        after = replace(before, state=state)
        expected.on_moment(Moment(Seconds(0.0), event, before, after), SampleIndex(end))
        before = after
    return [(int(start), int(stop)) for start, stop in expected.spans]


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
    expected, before = ExpectedUplink(), Context(policy=Policy(barge_in=BargeIn.WAKE_WORD), state=State.IDLE)
    steps = (
        (WakeDetected(40_000), State.CONNECTING, 41_000),
        (DEADLINE, State.SPEAKING, 60_000),
        (WakeDetected(80_000), State.INTERRUPTED, 81_000),
        (DEADLINE, State.TROUBLE, 90_000),
        (DEADLINE, State.IDLE, 95_000),
    )
    for event, state, end in steps:
        after = replace(before, state=state)
        expected.on_moment(Moment(Seconds(0.0), event, before, after), SampleIndex(end))
        before = after
    assert expected.spans == [(40_000, 60_000), (80_000, 90_000)]
    assert expected.conversations == [(40_000, 90_000)]
    assert expected.wake_words == [(20_800, 40_000), (60_800, 80_000)]


def span(begin_s: float, end_s: float) -> Span:
    return SampleIndex(UPLINK.frames(begin_s)), SampleIndex(UPLINK.frames(end_s))


def room(*speech: tuple[float, float]) -> Pcm:
    """Return ten seconds of a quiet room, with somebody who speaks between these seconds."""
    noise = np.random.default_rng(3).integers(-8000, 8000, 160_000, dtype=np.int16)
    spoken = np.zeros(len(noise), bool)
    for begin_s, end_s in speech:
        spoken[slice(*span(begin_s, end_s))] = True
    return np.where(spoken, noise, noise >> 9)


@pytest.mark.parametrize(
    ("speech", "unsent_s"),
    [
        ([(2.0, 4.0)], 0.0),
        ([(5.0, 7.0)], 2.0),
        ([(3.0, 6.0)], 2.0),
        ([(7.5, 8.5)], 0.5),
        ([], 0.0),
    ],
    ids=["let through", "while an answer played", "over its beginning", "partly after the end", "nothing"],
)
def test_speech_is_counted_within_a_conversation_and_outside_of_what_was_let_through(
    speech: list[tuple[float, float]], unsent_s: float
):
    found = unsent_speech_s(room(*speech), [span(1.0, 8.0)], [span(1.0, 4.0)])
    assert found == pytest.approx(unsent_s, abs=0.12)
