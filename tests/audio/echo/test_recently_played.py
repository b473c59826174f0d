"""The audio that was played, by its time."""

import numpy as np
import pytest

from appliance.audio.echo.recently_played import KEPT_S, PAUSE_S, RecentlyPlayed
from appliance.units import REPLY, Pcm, Seconds

PIECE = 2_400


def ramp(number: int) -> Pcm:
    return np.arange(number * PIECE, (number + 1) * PIECE).astype(np.int16)


def played(*pieces: tuple[float, Pcm]) -> RecentlyPlayed:
    recent = RecentlyPlayed()
    for at, samples in pieces:
        recent.played(Seconds(at), samples)
    return recent


def test_pieces_are_where_they_were_heard_and_all_else_is_silence():
    recent = played((100.0, ramp(1)), (100.3, ramp(3)))
    heard = recent.between(Seconds(99.9), Seconds(100.5))
    silence = np.zeros(PIECE, np.int16)
    np.testing.assert_array_equal(heard, np.concatenate((silence, ramp(1), silence, silence, ramp(3), silence)))
    assert recent.begin == 100.0
    assert recent.end == pytest.approx(100.4)
    assert not recent.between(Seconds(10.0), Seconds(11.0)).any()
    assert not recent.between(Seconds(200.0), Seconds(201.0)).any()


def test_times_that_waver_leave_no_gap():
    random = np.random.default_rng(1)
    recent = played(*[(5 + number * 0.1 + random.uniform(0, 0.001), ramp(number)) for number in range(30)])
    heard = recent.between(Seconds(5.2), Seconds(7.9))
    assert set(np.diff(heard.astype(int) % 65_536) % 65_536) == {1}


def test_a_piece_that_comes_too_early_loses_what_was_heard_of_it():
    recent = played((100.0, ramp(0)), (100.05, ramp(5)))
    heard = recent.between(Seconds(100.0), Seconds(100.15))
    np.testing.assert_array_equal(heard, np.concatenate((ramp(0), ramp(5)[PIECE // 2 :])))


def test_the_oldest_is_overwritten():
    recent = played((100.0, ramp(1)), (100.0 + KEPT_S, ramp(2)), (500.0, ramp(3)))
    assert not recent.between(Seconds(100.0), Seconds(100.1)).any()
    assert not recent.between(Seconds(500.0 - KEPT_S), Seconds(500.0)).any()
    assert len(recent.between(Seconds(0.0), Seconds(600.0))) == REPLY.frames(600.0)


def test_a_long_pause_begins_a_new_stretch():
    assert played((100.0, ramp(1)), (100.9, ramp(2))).begin == 100.0
    assert played((100.0, ramp(1)), (100.2 + PAUSE_S, ramp(2))).begin == 100.2 + PAUSE_S
    assert RecentlyPlayed().begin is None
