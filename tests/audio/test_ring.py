"""The ring of samples: it keeps the newest, by position."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from appliance.audio.ring import SampleRing


def test_samples_that_were_read_are_a_copy():
    ring = SampleRing(10)
    ring.append(np.full(10, 7, np.int16))
    read = ring.read(0, 10)
    ring.append(np.full(10, 9, np.int16))
    assert read.tolist() == [7] * 10


@given(st.lists(st.integers(0, 200), max_size=30))
def test_the_newest_samples_are_read_as_they_were_written(counts: list[int]):
    ring, source = SampleRing(64), np.arange(6_000, dtype=np.int16)
    for count in counts:
        before = ring.end
        ring.append(source[before : before + count])
        assert ring.end == before + count
        kept = min(ring.end, 64)
        assert ring.read(ring.end - kept, kept).tolist() == list(range(ring.end - kept, ring.end))
