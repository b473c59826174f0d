"""The playout position: what was played, how much of it was heard, and what a lost speaker takes back."""

import pytest

from appliance.audio.playback.position import PlayoutPosition, Reply
from appliance.audio.ports import Edge, PlayedPeriod
from appliance.units import REPLY, Epoch, Seconds

FIRST, SECOND = Epoch(1), Epoch(2)
SECOND_OF_SOUND = REPLY.rate_hz


def period(at: float, start: int, count: int) -> PlayedPeriod:
    return PlayedPeriod(Seconds(at), start, count, Edge.NONE)


def one_reply(count: int = SECOND_OF_SOUND) -> tuple[PlayoutPosition, Reply]:
    position = PlayoutPosition()
    reply = position.open(FIRST, 0)
    reply.end = count
    return position, reply


@pytest.mark.parametrize(("now", "heard"), [(9.0, 0), (10.0, 0), (10.25, 6_000), (10.5, 12_000), (11.0, 12_000)])
def test_of_a_period_as_much_is_heard_as_its_time_has_passed(now, heard):
    position, reply = one_reply()
    position.played(period(10.0, 0, 12_000), Seconds(9.0))
    assert position.heard(FIRST, Seconds(now)) == heard
    assert (reply.played, reply.audible_at, reply.silent_at) == (12_000, 10.0, 10.5)


def test_a_period_counts_for_the_reply_in_which_it_begins():
    position, first = one_reply(1_000)
    second = position.open(SECOND, 1_000)
    second.end = 2_000
    position.played(period(0.0, 0, 1_000), Seconds(0.0))
    position.played(period(1.0, 1_000, 240), Seconds(1.0))
    assert (first.played, second.played) == (1_000, 240)
    assert (first.audible_at, second.audible_at) == (0.0, 1.0)


def test_what_belongs_to_no_reply_changes_nothing():
    position, reply = one_reply(1_000)
    position.played(period(0.0, 1_000, 240), Seconds(0.0))
    position.played(period(0.0, 500, 0), Seconds(0.0))
    assert (reply.played, reply.audible_at) == (0, None)
    assert position.heard(SECOND, Seconds(5.0)) == 0


def test_a_lost_speaker_takes_back_what_was_not_heard():
    position, reply = one_reply()
    for number in range(10):
        position.played(period(1.0 + number * 0.1, number * 2_400, 2_400), Seconds(1.0))
    position.forget_unheard(Seconds(1.45))
    assert (reply.played, reply.audible_at, reply.silent_at) == (10_800, 1.0, 1.45)
    assert position.heard(FIRST, Seconds(9.0)) == 10_800
    position.played(period(5.0, 10_800, 2_400), Seconds(5.0))
    assert (reply.played, reply.audible_at) == (13_200, 1.0)


def test_a_reply_that_was_taken_and_not_yet_heard_begins_anew_on_the_next_speaker():
    position, reply = one_reply()
    position.played(period(1.0, 0, 2_400), Seconds(0.9))
    position.forget_unheard(Seconds(0.95))
    assert (reply.played, reply.audible_at, reply.silent_at) == (0, None, None)
    position.played(period(3.0, 0, 2_400), Seconds(2.9))
    assert reply.audible_at == 3.0


def test_old_replies_are_forgotten():
    position = PlayoutPosition()
    for epoch in range(1, 101):
        position.open(Epoch(epoch), epoch * 10).end = epoch * 10 + 10
        position.played(period(epoch, epoch * 10, 10), Seconds(epoch))
    assert position.heard(Epoch(100), Seconds(200.0)) == 10
    assert position.heard(FIRST, Seconds(200.0)) == 0
