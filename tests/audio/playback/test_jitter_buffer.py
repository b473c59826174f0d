"""The ring between the loop and the speaker's thread: order, bounds, and ramps instead of jumps."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.audio.playback.fade import Fade
from appliance.audio.playback.jitter_buffer import JitterBuffer
from appliance.audio.ports import Edge
from appliance.units import REPLY, Pcm

CAPACITY, PREBUFFER = 1000, 200
LOUD = 20_000
RAMP = Fade(REPLY.rate_hz)
FADE = RAMP.length


def loud(count: int) -> Pcm:
    return np.full(count, LOUD, np.int16)


def take(ring: JitterBuffer, frames: int) -> tuple[Pcm, Edge | None]:
    out = np.zeros(frames, np.int16)
    taken = ring.take(out, ring.written)
    return out, taken.edge if taken else None


def test_a_full_ring_takes_no_more_than_its_capacity():
    ring = JitterBuffer(CAPACITY, PREBUFFER, RAMP)
    assert ring.write(loud(CAPACITY - 10)) == CAPACITY - 10
    assert ring.write(loud(50)) == 10
    assert ring.write(loud(1)) == 0
    take(ring, 100)
    assert ring.free == 100


def test_nothing_plays_before_the_prebuffer_is_there():
    ring = JitterBuffer(CAPACITY, PREBUFFER, RAMP)
    ring.write(loud(PREBUFFER - 1))
    assert take(ring, 50)[1] is None
    ring.write(loud(1))
    assert take(ring, 50)[1] is Edge.STARTED


def test_a_period_longer_than_the_prebuffer_waits_until_it_can_be_filled_and_faded():
    ring = JitterBuffer(CAPACITY, PREBUFFER, RAMP)
    ring.write(loud(400 + FADE - 1))
    assert take(ring, 400)[1] is None
    ring.write(loud(1))
    assert take(ring, 400)[1] is Edge.STARTED


def test_a_flush_near_the_end_of_a_reply_does_not_reach_into_the_next():
    ring = JitterBuffer(CAPACITY, PREBUFFER, RAMP)
    ring.write(loud(300))
    ring.complete()
    take(ring, 290)
    ring.write(loud(300))
    ring.flush()
    assert ring.take_stale(np.zeros(FADE, np.int16)).count == 10
    assert not ring.playing


def test_a_complete_reply_plays_however_short_it_is():
    ring = JitterBuffer(CAPACITY, PREBUFFER, RAMP)
    ring.write(loud(10))
    ring.complete()
    out, edge = take(ring, 50)
    assert edge is Edge.COMPLETE
    assert np.count_nonzero(out) == 10
    assert ring.underruns == 0


def test_the_next_reply_waits_for_its_own_prebuffer():
    ring = JitterBuffer(CAPACITY, PREBUFFER, RAMP)
    ring.write(loud(300))
    ring.complete()
    ring.write(loud(100))
    edges = [take(ring, 50)[1] for _ in range(8)]
    assert edges == [Edge.STARTED, *[Edge.NONE] * 4, Edge.COMPLETE, None, None]


def test_an_underrun_fades_to_silence_and_back_with_any_period():
    for frames in (7, 17, 60, 71, 72, 73, 120, 240):
        ring = JitterBuffer(CAPACITY * 2, PREBUFFER, RAMP)
        ring.write(loud(613))
        periods = []
        while (period := take(ring, frames))[1] is not None:
            periods.append(period[0])
        heard = np.concatenate(periods)
        assert ring.underruns == 1
        assert np.all(heard[: 613 - FADE] == LOUD)
        assert np.all(np.diff(heard[613 - FADE - 1 : 613].astype(int)) <= 0)
        assert heard[612] == 0
        ring.write(loud(500))
        again = take(ring, 240)[0]
        assert again[0] == 0
        assert np.all(np.diff(again[: FADE + 1].astype(int)) >= 0)
        assert np.all(again[FADE:] == LOUD)


def test_a_flush_leaves_a_fade_and_nothing_else_even_during_an_underrun():
    ring = JitterBuffer(CAPACITY, PREBUFFER, RAMP)
    ring.write(loud(400))
    take(ring, 300)
    take(ring, 50)  # 28 samples before, the fade of running dry has begun
    ring.write(loud(300))
    ring.flush()
    out = np.zeros(FADE, np.int16)
    taken = ring.take_stale(out)
    RAMP.fall(out, 0)
    assert taken.count == 50
    assert np.all(np.diff(out.astype(int)) <= 0)
    assert ring.take_stale(np.zeros(FADE, np.int16)).count == 0
    ring.skip_stale()
    assert ring.free == CAPACITY
    assert take(ring, 50)[1] is None


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 400), st.integers(1, 250), st.booleans()), max_size=40))
def test_samples_come_out_once_and_in_order(steps):
    ring = JitterBuffer(CAPACITY, PREBUFFER, RAMP)
    source = np.arange(1, 20_000, dtype=np.int16)
    written = 0
    taken_to = 0
    for writes, frames, complete in steps:
        written += ring.write(source[written : written + writes])
        if complete:
            ring.complete()
        out = np.zeros(frames, np.int16)
        taken = ring.take(out, ring.written)
        if taken is None:
            assert not out.any()
            continue
        assert taken.start == taken_to
        taken_to += taken.count
        original = source[taken.start : taken_to]
        assert np.all(out[: taken.count] <= original)
        assert np.all(out[taken.count :] == 0)
        runs_dry = ring._underrun_at > taken.start and taken_to > ring._underrun_at - FADE
        if not ring.underruns and not runs_dry:
            assert np.array_equal(out[: taken.count], original)
        assert written - taken_to == CAPACITY - ring.free
    ring.complete()
    while ring.free < CAPACITY:
        take(ring, 100)
