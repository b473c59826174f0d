"""The microphone's periods: one index in step with time, whatever is lost and however the card counts."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.audio.ports import Block
from appliance.audio.worker.capture_converter import CaptureConverter, ClockDriftEstimator
from appliance.units import UPLINK, AudioFormat, Hz, Pcm, Seconds
from tests.audio.tones import tone


class Rig:
    """A converter, and a card whose first frame is captured at 100 s."""

    def __init__(self, rate_hz: int = 16_000, channels: int = 1, ppm: float = 0.0):
        self.layout = AudioFormat(Hz(rate_hz), channels)
        self.blocks: list[Block] = []
        self.converter = CaptureConverter(self.layout, self.blocks.append)
        self.frame = 0
        self.rate = rate_hz * (1 + ppm * 1e-6)

    def bring(self, samples: Pcm) -> None:
        frames = np.repeat(samples, self.layout.channels)
        started_at = 100 + self.frame / self.rate
        self.frame += len(samples)
        self.converter.take(frames.tobytes(), Seconds(started_at), Seconds(100 + self.frame / self.rate))

    @property
    def heard(self) -> Pcm:
        return np.concatenate([block.samples for block in self.blocks])


def test_a_period_is_a_block_with_the_moment_of_its_last_sample():
    rig = Rig()
    for number in range(3):
        rig.bring(np.full(320, number, np.int16))
    assert [block.start for block in rig.blocks] == [0, 320, 640]
    assert [block.captured_at for block in rig.blocks] == pytest.approx([100.02, 100.04, 100.06])
    assert rig.heard.tolist() == [0] * 320 + [1] * 320 + [2] * 320


def test_small_pieces_wait_for_more():
    rig = Rig()
    for length in (300, 5, 300, 4):
        rig.bring(np.zeros(length, np.int16))
    assert [len(block.samples) for block in rig.blocks] == [300, 305]
    assert rig.blocks[1].start == 300


@given(st.integers(60, 30_000), st.sampled_from([320, 300]))
def test_what_the_card_lost_is_a_jump_of_the_index(lost: int, length: int):
    rig = Rig()
    rig.bring(np.zeros(length, np.int16))
    rig.bring(np.zeros(7, np.int16))
    rig.frame += lost
    rig.bring(np.zeros(length, np.int16))
    first, second, third = rig.blocks
    assert (first.start, second.start) == (0, len(first.samples))
    assert third.start == pytest.approx(second.start + len(second.samples) + lost, abs=1)
    assert rig.converter.lost == pytest.approx(lost, abs=1)
    assert rig.converter.captured == 2 * length + 7


def test_jitter_of_the_moments_is_no_loss():
    random, rig = np.random.default_rng(1), Rig()
    for number in range(500):
        at = 100 + number * 0.02 + random.uniform(-0.0005, 0.0005)
        rig.converter.take(bytes(640), Seconds(at), Seconds(at + 0.02))
    assert rig.converter.lost == 0


def test_a_card_that_gives_no_moments_is_taken_as_it_comes():
    rig = Rig()
    rig.converter.take(bytes(640), None, Seconds(7.0))
    rig.converter.take(bytes(640), None, Seconds(9.0))
    assert [(block.start, block.captured_at) for block in rig.blocks] == [(0, 7.0), (320, 9.0)]


@pytest.mark.parametrize(("rate_hz", "channels"), [(48_000, 2), (44_100, 1)])
def test_other_rates_and_channels_become_16_khz_mono_at_the_right_moments(rate_hz, channels):
    rig = Rig(rate_hz, channels)
    source = tone(rate_hz, 1.0)
    for begin in range(0, len(source), rate_hz // 50):
        rig.bring(source[begin : begin + rate_hz // 50])
    last = rig.blocks[-1]
    true_s = last.captured_at - 100  # of the last sample
    assert (last.start + len(last.samples)) / 16_000 == pytest.approx(true_s, abs=0.0005)
    assert len(rig.heard) == pytest.approx(16_000, abs=16_000 * 0.04)


@pytest.mark.parametrize("ppm", [-300.0, 0.0, 80.0])
def test_the_drift_of_the_clock_is_known_after_a_minute(ppm):
    rig = Rig(ppm=ppm)
    for number in range(60 * 50 + 10):
        if number == 50 * 30:
            assert rig.converter.ppm == 0.0
        rig.bring(np.zeros(320, np.int16))
    assert rig.converter.ppm == pytest.approx(ppm, abs=1.0)


def test_a_loss_does_not_count_as_drift():
    clock = ClockDriftEstimator(UPLINK.rate_hz)
    clock.note(0.0, 0)
    clock.restart()
    assert clock.ppm == 0.0
