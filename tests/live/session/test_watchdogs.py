"""Bytes that do not leave, and answers that take longer and longer, are noticed in time and once."""

from appliance.live.ports import Traffic
from appliance.live.session.watchdogs import LatencyDriftDetector, SendStallDetector
from appliance.units import Seconds


def stalls(*samples: tuple[float, int, int]) -> list[float]:
    """Return when a stall was found, of samples (moment, bytes written, bytes queued)."""
    detector = SendStallDetector()
    return [now for now, written, queued in samples if detector.sample(Traffic(written, queued), Seconds(now))]


def test_bytes_that_do_not_leave_are_noticed_within_two_seconds_and_once():
    stalled = [(step * 0.25, 1000 + step * 100, 1000 + step * 100) for step in range(20)]
    assert stalls(*stalled) == [1.5]


def test_a_stall_is_noticed_too_where_all_had_left_at_every_look_before():
    quick = [(step * 0.25, step * 100, 0) for step in range(4)]
    stalled = [(1.0 + step * 0.25, 400 + step * 100, 100 + step * 100) for step in range(20)]
    assert stalls(*quick, *stalled) == [2.5]


def test_a_queue_that_stays_full_while_bytes_leave_is_only_slow():
    assert not stalls(*[(step * 0.25, 5000 + step * 100, 5000) for step in range(40)])


def test_an_empty_queue_is_no_stall_however_long():
    assert not stalls(*[(float(step), 1000, 0) for step in range(10)])
    assert not SendStallDetector().sample(None, Seconds(0.0)), "where that cannot be known"


def slow(*after_s: float) -> int:
    """Return how often answers with these delays are found to have become slow."""
    detector = LatencyDriftDetector()
    return sum(detector.answered(seconds) for seconds in after_s)


def test_answers_that_take_twice_as_long_as_the_first_ones_are_noticed():
    assert not slow(0.4, 0.5, 0.4, 1.0, 1.1)
    assert slow(0.4, 0.5, 0.4, 1.0, 1.1, 0.9) == 1


def test_one_slow_answer_is_no_drift():
    assert not slow(0.4, 0.5, 0.4, 0.4, 3.0, 0.5, 0.4)


def test_a_growth_that_nobody_feels_is_none():
    assert not slow(0.1, 0.1, 0.1, *[0.3] * 5)
