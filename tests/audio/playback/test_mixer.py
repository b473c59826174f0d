"""The real-time half of playback: any rate, sounds over replies, gains without jumps, and nothing after a cut."""

import itertools
import threading
import time
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.audio.playback.fade import Fade
from appliance.audio.playback.mixer import DUCKED, SOUNDS_S, UNDER_SOUND, RingMixer
from appliance.audio.ports import MAX_AHEAD_S, Edge, PlayedPeriod
from appliance.units import REPLY, Hz, Pcm, Seconds
from tests.audio.tones import tone

RATE = REPLY.rate_hz
FADE = Fade(REPLY.rate_hz).length


def level(count: int, value: int = 10_000) -> Pcm:
    return np.full(count, value, np.int16)


@dataclass
class Rig:
    """A mixer, and what it said."""

    rate_hz: int = RATE
    prebuffer_s: float = 0.06
    played: list[PlayedPeriod] = field(default_factory=list)
    pulled: int = 0

    def __post_init__(self):
        self.mixer = RingMixer(self.played.append, Hz(self.rate_hz), self.prebuffer_s)

    def pull(self, frames: int | None = None) -> Pcm:
        frames = frames or self.rate_hz // 100
        samples = self.mixer.pull(frames, Seconds(self.pulled / self.rate_hz))
        self.pulled += frames
        return samples


def test_sounds_play_one_after_the_other_without_a_gap_and_a_reply_is_turned_down_meanwhile():
    rig = Rig()
    rig.mixer.play_sound(level(100, 5))
    rig.mixer.play_sound(level(30_000, 30_000))
    assert rig.pull().tolist() == [5] * 100 + [30_000] * 140
    rig.mixer.queue(level(RATE))
    for _ in range(5):
        over = rig.pull()
    assert over.tolist() == [32_767] * 240  # clipped, not wrapped
    rig = Rig()
    rig.mixer.queue(level(RATE))
    rig.pull()
    rig.mixer.play_sound(np.zeros(2_400, np.int16))
    down = np.concatenate([rig.pull() for _ in range(10)]).astype(int)
    assert down[0] > 9_900
    assert np.all(np.diff(down) <= 0)
    assert np.all(down[480:] == round(10_000 * UNDER_SOUND))
    up = np.concatenate([rig.pull() for _ in range(4)]).astype(int)
    assert np.all(np.diff(up) >= 0)
    assert up[-1] == 10_000


def playing() -> Rig:
    rig = Rig()
    rig.mixer.queue(level(RATE))
    rig.pull()
    return rig


def test_a_ducked_reply_is_18_db_quieter_within_10_ms_and_comes_back_as_soon():
    rig = playing()
    rig.mixer.duck(ducked=True)
    down = rig.pull().astype(int)
    assert down[0] > 9_900
    assert np.all(np.diff(down) <= 0)
    assert down[-1] == round(10_000 * DUCKED)
    assert 20 * np.log10(DUCKED) == pytest.approx(-18, abs=0.1)
    rig.mixer.duck(ducked=False)
    up = rig.pull().astype(int)
    assert np.all(np.diff(up) >= 0)
    assert up[-1] == 10_000


def test_a_sound_over_a_ducked_reply_is_heard_as_loud_as_ever():
    rig = playing()
    rig.mixer.duck(ducked=True)
    rig.pull()
    rig.mixer.play_sound(level(240, 5_000))
    assert np.all(rig.pull() == 5_000 + round(10_000 * DUCKED))
    assert np.all(rig.pull() == round(10_000 * DUCKED))


def test_a_flush_ends_the_ducking_and_is_not_louder_before_it_is_silent():
    rig = playing()
    rig.mixer.duck(ducked=True)
    rig.pull()
    rig.mixer.flush()
    rig.mixer.queue(level(RATE))
    falling = rig.pull()
    assert falling.max() <= round(10_000 * DUCKED)
    assert not falling[FADE:].any()
    assert rig.pull()[FADE:].min() == 10_000


def test_a_reply_that_begins_ducked_is_ducked_from_its_first_sample_on():
    rig = Rig()
    rig.mixer.duck(ducked=True)
    rig.pull()
    rig.mixer.queue(level(RATE))
    assert rig.pull().max() == round(10_000 * DUCKED)


def test_a_sound_beyond_the_bound_is_dropped_and_counted():
    rig = Rig()
    for _ in range(int(SOUNDS_S) + 2):
        rig.mixer.play_sound(level(RATE))
    assert rig.mixer.counts.sounds_dropped == 2
    rig.mixer.flush()
    rig.mixer.play_sound(level(RATE))
    assert rig.mixer.counts.sounds_dropped == 2


def test_a_flush_stops_sounds_with_a_fade_and_keeps_those_that_follow_it():
    rig = Rig()
    rig.mixer.play_sound(level(1_000))
    rig.mixer.play_sound(level(1_000))
    rig.pull()
    rig.mixer.flush()
    rig.mixer.play_sound(level(100, -7))
    fading = rig.pull(50).astype(int).tolist() + rig.pull().astype(int).tolist()
    assert np.all(np.diff(fading) <= 0)
    assert fading[0] > 9_900
    assert not any(fading[FADE:])
    assert rig.pull().tolist() == [-7] * 100 + [0] * 140


def test_a_change_of_gain_is_a_ramp_of_one_period():
    rig = Rig()
    rig.mixer.set_gain(0.5)
    rig.pull()
    rig.mixer.queue(level(RATE))
    rig.pull()
    assert np.all(rig.pull() == 5_000)
    rig.mixer.set_gain(0.25)
    ramp = rig.pull().astype(int)
    assert (ramp[0], ramp[-1]) == (5_000, 2_500)
    assert np.all(np.diff(ramp) <= 0)
    assert np.all(rig.pull() == 2_500)


def test_a_gain_that_is_set_in_silence_holds_from_the_first_sample_on():
    rig = Rig()
    rig.pull()
    rig.mixer.set_gain(0.1)
    rig.mixer.queue(level(RATE))
    assert rig.pull().max() == 1_000


def test_the_prebuffer_grows_with_each_underrun_and_shrinks_when_the_last_was_long_ago():
    rig = Rig(prebuffer_s=0.05)
    waits = []
    for _ in range(5):
        rig.mixer.queue(level(RATE // 2))
        for _ in range(60):
            rig.pull()
        waits.append(rig.mixer.counts.prebuffer_s)
    assert waits == [0.1, 0.2, 0.4, 0.48, 0.48]
    assert rig.mixer.counts.underruns == 5
    rig.mixer.queue(level(RATE))
    for _ in range(61):
        rig.mixer.queue(level(RATE))
        for _ in range(100):
            rig.pull()
    assert rig.mixer.counts.prebuffer_s == 0.24


def test_a_prebuffer_beyond_what_it_may_grow_to_stays():
    rig = Rig(prebuffer_s=1.0)
    rig.mixer.queue(level(RATE * 3 // 2))
    for _ in range(200):
        rig.pull()
    assert rig.mixer.counts.underruns == 1
    assert rig.mixer.counts.prebuffer_s == 1.0


def test_more_than_it_may_be_given_is_dropped_and_counted():
    rig = Rig()
    rig.mixer.queue(level(int(RATE * MAX_AHEAD_S * 3) + 100))
    assert rig.mixer.counts.dropped == 100


@settings(deadline=None, max_examples=30)
@given(
    st.sampled_from([24_000, 48_000, 44_100, 16_000]),
    st.lists(st.tuples(st.integers(1, 5_000), st.sampled_from(["load", "complete", "cut"])), min_size=1, max_size=12),
    st.integers(40, 600),
)
def test_positions_are_of_what_was_given_and_add_up_at_every_rate(rate_hz, orders, frames):
    rig = Rig(rate_hz)
    given, ends, cut_at = 0, [], 0
    for count, order in orders:
        rig.mixer.queue(level(count))
        given += count
        if order == "complete":
            rig.mixer.complete()
            ends.append(given)
        elif order == "cut":
            rig.mixer.flush()
            cut_at = given
            rig.played.clear()
        for _ in range(3):
            rig.pull(frames)
    rig.mixer.complete()
    for _ in range(int(given * 2.1 / frames) + 20):
        rig.pull(frames)
    fresh = [one for one in rig.played if one.start >= cut_at and one.count]
    for one, next_one in itertools.pairwise(fresh):
        assert next_one.start == one.start + one.count
    if given > cut_at:
        assert fresh[0].start == cut_at
        assert fresh[-1].start + fresh[-1].count == given
        assert fresh[-1].edge is Edge.COMPLETE
    assert {one.start + one.count for one in fresh if one.edge is Edge.COMPLETE} >= {
        end for end in ends if end > cut_at
    }


@pytest.mark.parametrize("rate_hz", [48_000, 44_100])
def test_at_another_rate_the_position_is_that_of_the_sound(rate_hz):
    rig, reply = Rig(rate_hz), tone(RATE, 1.0)
    reply[RATE // 2 :] = 0  # it falls silent at half a second
    rig.mixer.queue(reply)
    rig.mixer.complete()
    heard = np.concatenate([rig.pull() for _ in range(150)])
    silent_at = np.flatnonzero(np.abs(heard.astype(int)) > 300)[-1] / rate_hz
    before = [one for one in rig.played if one.audible_at <= silent_at]
    position = before[-1].start + (silent_at - before[-1].audible_at) * RATE
    assert position == pytest.approx(RATE // 2, abs=RATE * 0.001)


@dataclass
class Puller:
    """Pulls on a thread of its own, and notes for each period which reply had been cut before it."""

    mixer: RingMixer
    cut: int = 0
    stop: bool = False
    periods: list[tuple[int, Pcm]] = field(default_factory=list)

    def run(self) -> None:
        while not self.stop:
            cut = self.cut
            self.periods.append((cut, self.mixer.pull(240, Seconds(time.monotonic()))))
            time.sleep(0.001)


@pytest.mark.realtime
def test_flushes_from_another_thread_let_nothing_stale_through():
    random = np.random.default_rng(1)
    puller = Puller(RingMixer(lambda _: None))
    thread = threading.Thread(target=puller.run)
    thread.start()
    for number in range(1, 61):
        for _ in range(random.integers(1, 5)):
            puller.mixer.queue(level(RATE // 4, 10_000 + 1_000 * (number % 8)))
        time.sleep(random.uniform(0.0, 0.02))
        puller.mixer.flush()
        puller.cut = number
    puller.stop = True
    thread.join()
    for cut, period in puller.periods:
        same = (np.diff(period[1:]) == 0) & (np.diff(period[:-1]) == 0) & (period[1:-1] != 0)
        for value in np.unique(period[1:-1][same]):  # where no fade is
            number = (int(value) - 10_000) // 1_000
            assert (number - cut) % 8 in range(1, 6)
    assert sum(period.any() for _, period in puller.periods) > 60
