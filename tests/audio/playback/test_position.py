"""The ledger: what was taken, what of it was heard, and what a lost speaker takes back."""

import pytest

from appliance.audio.playback.position import PlayoutPosition, Reply
from appliance.audio.ports import Edge, PlayedPeriod
from appliance.units import REPLY, Epoch, Seconds

FIRST, SECOND = Epoch(1), Epoch(2)
SECOND_OF_SOUND = REPLY.rate_hz


def pulled(at: float, start: int, count: int) -> PlayedPeriod:
    return PlayedPeriod(Seconds(at), start, count, Edge.NONE)


def one_reply(count: int = SECOND_OF_SOUND) -> tuple[PlayoutPosition, Reply]:
    ledger = PlayoutPosition()
    reply = ledger.open(FIRST, 0)
    reply.end = count
    return ledger, reply


@pytest.mark.parametrize(("now", "heard"), [(9.0, 0), (10.0, 0), (10.25, 6_000), (10.5, 12_000), (11.0, 12_000)])
def test_of_a_period_as_much_is_heard_as_its_time_has_passed(now, heard):
    ledger, reply = one_reply()
    ledger.note(pulled(10.0, 0, 12_000), Seconds(9.0))
    assert ledger.heard(FIRST, Seconds(now)).samples == heard
    assert (reply.taken, reply.audible_at, reply.heard_by) == (12_000, 10.0, 10.5)


def test_a_period_counts_for_the_reply_in_which_it_begins():
    ledger, first = one_reply(1_000)
    second = ledger.open(SECOND, 1_000)
    second.end = 2_000
    ledger.note(pulled(0.0, 0, 1_000), Seconds(0.0))
    ledger.note(pulled(1.0, 1_000, 240), Seconds(1.0))
    assert (first.taken, second.taken) == (1_000, 240)
    assert (first.audible_at, second.audible_at) == (0.0, 1.0)


def test_what_belongs_to_no_reply_changes_nothing():
    ledger, reply = one_reply(1_000)
    ledger.note(pulled(0.0, 1_000, 240), Seconds(0.0))
    ledger.note(pulled(0.0, 500, 0), Seconds(0.0))
    assert (reply.taken, reply.audible_at) == (0, None)
    heard = ledger.heard(SECOND, Seconds(5.0))
    assert (heard.epoch, heard.samples, heard.received) == (SECOND, 0, 0)


def test_a_lost_speaker_takes_back_what_was_not_heard():
    ledger, reply = one_reply()
    for period in range(10):
        ledger.note(pulled(1.0 + period * 0.1, period * 2_400, 2_400), Seconds(1.0))
    ledger.forget_unheard(Seconds(1.45))
    assert (reply.taken, reply.audible_at, reply.heard_by) == (10_800, 1.0, 1.45)
    assert ledger.heard(FIRST, Seconds(9.0)).samples == 10_800
    ledger.note(pulled(5.0, 10_800, 2_400), Seconds(5.0))
    assert (reply.taken, reply.audible_at) == (13_200, 1.0)


def test_a_reply_that_was_taken_and_not_yet_heard_begins_anew_on_the_next_speaker():
    ledger, reply = one_reply()
    ledger.note(pulled(1.0, 0, 2_400), Seconds(0.9))
    ledger.forget_unheard(Seconds(0.95))
    assert (reply.taken, reply.audible_at, reply.heard_by) == (0, None, None)
    ledger.note(pulled(3.0, 0, 2_400), Seconds(2.9))
    assert reply.audible_at == 3.0


def test_old_replies_are_forgotten():
    ledger = PlayoutPosition()
    for epoch in range(1, 101):
        ledger.open(Epoch(epoch), epoch * 10).end = epoch * 10 + 10
    assert ledger.heard(Epoch(100), Seconds(0.0)).received == 10
    assert ledger.heard(FIRST, Seconds(0.0)).received == 0
