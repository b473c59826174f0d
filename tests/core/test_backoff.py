"""Waits double up to a cap, are drawn in full, and only a stable success forgives."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.core.backoff import Backoff, Failures

WAITS = Backoff(base_s=0.5, cap_s=30.0)


@pytest.mark.parametrize(("attempt", "limit"), [(0, 0.5), (1, 1.0), (2, 2.0), (5, 16.0), (6, 30.0), (10**6, 30.0)])
def test_the_limit_doubles_up_to_the_cap(attempt, limit):
    assert WAITS.limit(attempt) == limit


def test_the_wait_is_drawn_between_nothing_and_the_limit():
    assert WAITS.delay(3, 0.0) == 0.0
    assert WAITS.delay(3, 0.25) == 1.0
    assert WAITS.delay(3, 0.999) < WAITS.limit(3)


@given(st.integers(0, 10**9), st.floats(0, 1, exclude_max=True))
def test_no_attempt_waits_longer_than_the_cap_or_shorter_than_nothing(attempt, uniform):
    assert 0 <= WAITS.delay(attempt, uniform) < WAITS.cap_s
    assert WAITS.limit(attempt) <= WAITS.limit(attempt + 1)


@pytest.mark.parametrize(("base_s", "cap_s"), [(0.0, 1.0), (-1.0, 1.0), (2.0, 1.0), (float("nan"), 1.0)])
def test_limits_that_make_no_sense_are_refused(base_s, cap_s):
    with pytest.raises(ValueError, match="base <= cap"):
        Backoff(base_s, cap_s)


def test_failures_count_up():
    failures = Failures()
    assert failures.attempt == 0
    for expected in (0, 1, 2):
        failures = failures.failed(10.0, stable_s=30.0)
        assert failures.attempt == expected


def test_a_success_that_does_not_last_forgives_nothing():
    failures = Failures(count=4).worked(100.0).failed(129.9, stable_s=30.0)
    assert failures == Failures(count=5)


def test_after_a_stable_success_the_count_begins_anew():
    failures = Failures(count=4).worked(100.0).failed(130.0, stable_s=30.0)
    assert failures == Failures(count=1)
    assert failures.attempt == 0
