"""Taps, holds, lost edges and stuck buttons."""

from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.button.adapter import STUCK_S, Gesture, Pressed, Released
from appliance.button.ports import ButtonEdge
from appliance.core.events import Press
from appliance.units import Seconds

MIN_HOLD_S = 0.25


def at(seconds: float) -> Seconds:
    return Seconds(1000 + seconds)


def test_a_press_is_told_at_once_and_a_short_one_is_a_tap():
    gesture = Gesture(MIN_HOLD_S)
    assert gesture.feed(ButtonEdge.DOWN, at(0)) == Pressed()
    assert gesture.feed(ButtonEdge.UP, at(0.24)) == Released(Press.TAP)


def test_a_press_of_the_minimal_length_is_a_hold():
    gesture = Gesture(MIN_HOLD_S)
    gesture.feed(ButtonEdge.DOWN, at(0))
    assert gesture.feed(ButtonEdge.UP, at(0.25)) == Released(Press.HOLD)


def test_doubled_edges_change_nothing():
    gesture = Gesture(MIN_HOLD_S)
    assert gesture.feed(ButtonEdge.UP, at(0)) is None
    assert gesture.feed(ButtonEdge.DOWN, at(1)) == Pressed()
    assert gesture.feed(ButtonEdge.DOWN, at(2)) is None
    assert gesture.feed(ButtonEdge.UP, at(2.1)) == Released(Press.HOLD), "counted from the first DOWN"
    assert gesture.feed(ButtonEdge.UP, at(3)) is None


def test_a_stuck_button_is_released_once_and_works_again_afterwards():
    gesture = Gesture(MIN_HOLD_S)
    gesture.feed(ButtonEdge.DOWN, at(0))
    assert gesture.stuck_at == at(STUCK_S)
    assert gesture.check(at(STUCK_S - 0.001)) is None
    assert gesture.check(at(STUCK_S)) == Released(Press.HOLD)
    assert gesture.check(at(STUCK_S + 1)) is None
    assert gesture.feed(ButtonEdge.UP, at(500)) is None
    assert gesture.feed(ButtonEdge.DOWN, at(501)) == Pressed()


def test_a_button_that_is_up_is_never_stuck():
    gesture = Gesture(MIN_HOLD_S)
    assert gesture.stuck_at is None
    assert gesture.check(at(1_000_000)) is None


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.sampled_from([*ButtonEdge, None]), st.floats(0, 200)), max_size=30))
def test_presses_and_releases_alternate_whatever_the_edges(steps: list[tuple[ButtonEdge | None, float]]):
    gesture = Gesture(MIN_HOLD_S)
    now, told = 0.0, []
    for edge, wait in steps:
        now += wait
        told.append(gesture.check(at(now)) if edge is None else gesture.feed(edge, at(now)))
    kinds = [type(move) for move in told if move is not None]
    assert kinds == [Pressed if index % 2 == 0 else Released for index in range(len(kinds))]
