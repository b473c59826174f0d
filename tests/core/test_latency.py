"""Durations are kept in milliseconds, bounded, and only where they were begun."""

import pytest

from appliance.core.latency import Latency, Stopwatch


def test_a_duration_is_from_begin_to_end():
    watch = Stopwatch()
    watch.begin(Latency.WAKE_TO_LIGHT, 10.0)
    assert watch.end(Latency.WAKE_TO_LIGHT, 10.25) == pytest.approx(250)
    assert watch.durations_ms(Latency.WAKE_TO_LIGHT) == pytest.approx((250,))


def test_an_end_without_a_begin_is_nothing():
    watch = Stopwatch()
    assert watch.end(Latency.WAKE_TO_LIGHT, 10.0) is None
    watch.begin(Latency.WAKE_TO_LIGHT, 1.0)
    watch.forget(Latency.WAKE_TO_LIGHT)
    assert watch.end(Latency.WAKE_TO_LIGHT, 2.0) is None
    assert watch.durations_ms(Latency.WAKE_TO_LIGHT) == ()


def test_the_newest_durations_are_kept():
    watch = Stopwatch(bound=2)
    for moment in range(3):
        watch.begin(Latency.INTERRUPT_TO_SILENCE, 0.0)
        watch.end(Latency.INTERRUPT_TO_SILENCE, moment)
    assert watch.durations_ms(Latency.INTERRUPT_TO_SILENCE) == (1000, 2000)
