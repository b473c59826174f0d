"""The ring keeps what it says it keeps, at the index where it was captured."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.audio.capture.microphone_buffer import MicrophoneBuffer
from appliance.audio.ports import Block
from appliance.units import Pcm, SampleIndex, Seconds

CAPACITY_S = 0.01  # 160 samples


def stream(start: int, stop: int) -> Pcm:
    """Samples that tell where they belong: never zero, and neighbours differ."""
    return (np.arange(start, stop) % 30_011 + 1).astype(np.int16)


def block(start: int, stop: int) -> Block:
    return Block(SampleIndex(start), stream(start, stop), Seconds(0.0))


def read(ring: MicrophoneBuffer, start: int, stop: int) -> list[int]:
    return [int(sample) for sample in ring.read(SampleIndex(start), SampleIndex(stop))]


def test_an_empty_ring_holds_nothing():
    ring = MicrophoneBuffer(CAPACITY_S)
    assert (ring.begin, ring.end, ring.lost) == (0, 0, 0)
    assert read(ring, 0, 0) == []


def test_the_first_block_says_where_the_stream_begins():
    ring = MicrophoneBuffer(CAPACITY_S)
    ring.append(block(5000, 5020))
    assert (ring.begin, ring.end, ring.lost) == (5000, 5020, 0)


def test_a_gap_between_blocks_becomes_zeros_and_is_counted():
    ring = MicrophoneBuffer(CAPACITY_S)
    ring.append(block(0, 20))
    ring.append(block(50, 60))
    assert read(ring, 10, 60) == [*stream(10, 20).tolist(), *([0] * 30), *stream(50, 60).tolist()]
    assert ring.lost == 30


def test_a_gap_longer_than_the_ring_leaves_only_zeros_before_the_new_block():
    ring = MicrophoneBuffer(CAPACITY_S)
    ring.append(block(0, 100))
    ring.append(block(1_000_000, 1_000_020))
    assert (ring.begin, ring.end) == (1_000_020 - 160, 1_000_020)
    assert read(ring, ring.begin, ring.end) == [0] * 140 + stream(1_000_000, 1_000_020).tolist()
    assert ring.lost == 999_900


def test_a_block_that_begins_before_the_last_one_ended_is_refused_and_changes_nothing():
    ring = MicrophoneBuffer(CAPACITY_S)
    ring.append(block(0, 20))
    with pytest.raises(ValueError, match="begins at sample 15, 5 before"):
        ring.append(block(15, 30))
    assert (ring.begin, ring.end) == (0, 20)


def test_samples_that_are_gone_or_not_captured_yet_cannot_be_read():
    ring = MicrophoneBuffer(CAPACITY_S)
    ring.append(block(0, 200))
    for start, stop in ((39, 100), (100, 201), (100, 99)):
        with pytest.raises(IndexError, match="not within 40 to 200"):
            read(ring, start, stop)


def test_what_was_read_does_not_change_when_the_ring_goes_on():
    ring = MicrophoneBuffer(CAPACITY_S)
    ring.append(block(0, 160))
    samples = ring.read(SampleIndex(0), SampleIndex(160))
    ring.append(block(160, 320))
    assert samples.tolist() == stream(0, 160).tolist()


@given(st.lists(st.integers(0, 400), min_size=1, max_size=30))
@settings(deadline=None, max_examples=60)
def test_the_newest_samples_are_kept_whatever_the_sizes_of_blocks(sizes: list[int]):
    ring = MicrophoneBuffer(CAPACITY_S)
    edges = [7, *(7 + np.cumsum(sizes)).tolist()]
    for start, stop in pairwise(edges):
        ring.append(block(start, stop))
        assert (ring.begin, ring.end) == (max(7, stop - 160), stop)
        assert read(ring, ring.begin, ring.end) == stream(ring.begin, ring.end).tolist()
