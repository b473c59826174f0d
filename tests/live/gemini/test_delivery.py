from hypothesis import given
from hypothesis import strategies as st

from appliance.live.gemini.transport import MAX_CHUNKS, DeliveryTracker


def test_a_chunk_has_arrived_once_its_last_byte_has():
    delivery = DeliveryTracker()
    delivery.sent(640, 2_000)
    delivery.sent(320, 3_000)
    assert [delivery.undelivered(at) for at in (0, 1_999, 2_000, 2_999, 3_000)] == [960, 960, 320, 320, 0]


@given(st.lists(st.integers(1, 1_600), max_size=50), st.integers(0, 200_000))
def test_what_arrived_and_what_did_not_is_what_was_sent(chunks, acknowledged):
    delivery, written, arrived = DeliveryTracker(), 0, 0
    for samples in chunks:
        written += 4 * samples
        delivery.sent(samples, written)
        arrived += samples if written <= acknowledged else 0
    assert delivery.undelivered(acknowledged) == sum(chunks) - arrived


def test_only_the_newest_chunks_are_remembered():
    delivery = DeliveryTracker()
    for number in range(2 * MAX_CHUNKS):
        delivery.sent(1, number + 1)
    assert delivery.undelivered(0) == MAX_CHUNKS


def test_what_a_handle_does_not_cover_is_what_was_sent_after_its_last_message():
    delivery = DeliveryTracker()
    delivery.sent(640, 2_000, 1)
    delivery.sent(320, 3_000, 4)
    assert [delivery.unconsumed(messages) for messages in (0, 1, 3, 4)] == [960, 320, 320, 0]
