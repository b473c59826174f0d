"""A connection is swapped in silence, and in time."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.live.connecting.rotation import MAX_AGE_S, Busy, Notice, RotationDue, RotationInputs, Swap, due
from appliance.units import Seconds

OPENED = Seconds(1000.0)
LIMIT = Seconds(1000.0 + MAX_AGE_S)
NOTICE = Notice(Seconds(1100.0), Seconds(50.0))


def at(now: float, busy: Busy | None = None, notice: Notice | None = None, wanted: float | None = None) -> RotationDue:
    wanted_since = None if wanted is None else Seconds(wanted)
    return due(Seconds(now), RotationInputs(OPENED, frozenset({busy} if busy else ()), notice, wanted_since))


@pytest.mark.parametrize(
    ("time_left", "deadline"), [(60.0, 55.0), (10.0, 5.0), (9.5, 4.75), (4.0, 2.0), (0.0, 0.0)], ids=str
)
def test_a_reserve_is_kept_of_the_time_that_is_left(time_left, deadline):
    assert Notice(Seconds(0.0), Seconds(time_left)).deadline == deadline


def test_a_young_connection_stays():
    assert at(1000) == RotationDue(Swap.LATER, LIMIT)
    assert at(1000, Busy.MODEL) == RotationDue(Swap.LATER, LIMIT)


@pytest.mark.parametrize(
    ("now", "notice", "wanted"),
    [(1100.0, NOTICE, None), (LIMIT, None, None), (1001.0, None, 1000.5)],
    ids=["goAway", "age", "watchdog"],
)
def test_every_reason_to_swap_waits_for_silence(now, notice, wanted):
    assert at(now, None, notice, wanted) == RotationDue(Swap.NOW)
    for busy in Busy:
        assert at(now, busy, notice, wanted).swap is Swap.LATER


def test_only_the_service_sets_a_deadline():
    assert at(1100, Busy.PERSON, NOTICE) == RotationDue(Swap.LATER, NOTICE.deadline)
    assert at(LIMIT, Busy.PERSON) == RotationDue(Swap.LATER, None)


@pytest.mark.parametrize("busy", [None, *Busy])
def test_when_the_time_is_up_nothing_counts_any_more(busy):
    assert at(NOTICE.deadline, busy, NOTICE) == RotationDue(Swap.FORCED)


def test_no_time_left_is_now():
    assert at(1100, Busy.PERSON, Notice(Seconds(1100.0), Seconds(0.0))) == RotationDue(Swap.FORCED)


@given(
    st.floats(1000, 3000),
    st.sets(st.sampled_from(Busy)),
    st.none() | st.builds(Notice, st.floats(1000, 3000), st.floats(0, 100)),
    st.none() | st.floats(1000, 3000),
)
def test_whoever_waits_is_told_until_when_and_never_swaps_over_somebody(now, busy, notice, wanted):
    decision = due(now, RotationInputs(OPENED, frozenset(busy), notice, wanted))
    if decision.swap is Swap.NOW:
        assert not busy
    if decision.swap is Swap.LATER and decision.at is not None:
        assert decision.at > now
        assert notice is None or decision.at <= notice.deadline
    if decision.swap is Swap.LATER and decision.at is None:
        assert busy
        assert notice is None
