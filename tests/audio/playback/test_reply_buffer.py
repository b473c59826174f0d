"""The store of replies: it keeps what is still needed, and takes no more than there is room for."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from appliance.audio.playback.reply_buffer import ReplyBuffer


def test_it_takes_no_more_than_there_is_room_for_beside_what_is_still_needed():
    store = ReplyBuffer(100)
    assert store.append(np.arange(70, dtype=np.int16), 0) == 70
    assert store.append(np.arange(70, 140, dtype=np.int16), 0) == 30
    assert store.append(np.arange(100, 140, dtype=np.int16), 0) == 0
    assert store.append(np.arange(100, 140, dtype=np.int16), 25) == 25
    assert store.written == 125
    assert store.read(25, 100).tolist() == list(range(25, 125))


def test_what_was_read_is_a_copy():
    store = ReplyBuffer(10)
    store.append(np.full(10, 7, np.int16), 0)
    read = store.read(0, 10)
    store.append(np.full(10, 9, np.int16), 10)
    assert read.tolist() == [7] * 10


@given(st.lists(st.tuples(st.integers(0, 80), st.integers(0, 80)), max_size=30))
def test_what_is_needed_is_read_as_it_was_written(steps):
    store, source = ReplyBuffer(64), np.arange(5_000, dtype=np.int16)
    oldest = 0
    for writes, releases in steps:
        before = store.written
        taken = store.append(source[before : before + writes], oldest)
        assert taken == min(writes, 64 - (before - oldest))
        assert store.written == before + taken
        assert store.read(oldest, store.written - oldest).tolist() == list(range(oldest, store.written))
        oldest = min(store.written, oldest + releases)
