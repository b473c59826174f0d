"""A push-to-talk turn reaches the service whole, between its markers, whenever the link comes and goes."""

import asyncio

from appliance.core.state import Gate
from appliance.units import SampleIndex
from tests.support.uplink import END, PUSH_TO_TALK, START, RecordingLink, running, stream


async def test_a_press_that_is_over_before_the_link_opens_is_sent_whole_between_its_markers():
    link = RecordingLink()
    async with running() as room:
        await room.listen(1.0)
        room.begin(15_000, PUSH_TO_TALK)
        await room.listen(0.5)
        room.uplink.end(SampleIndex(23_100))
        room.uplink.set_gate(Gate.HOLD)  # still connecting: no second turn may come of it
        await room.listen(1.0)
        room.uplink.attach(link)
        room.uplink.set_gate(Gate.CLOSED)
        await room.uplink.drained()
    assert link.sequence == [START, "audio", END]
    assert link.heard == stream(15_000, 23_100).tolist()


async def test_two_presses_while_connecting_are_two_turns():
    link = RecordingLink()
    async with running() as room:
        await room.listen(1.0)
        for at in (8_000, 12_000):
            room.begin(at, PUSH_TO_TALK)
            room.uplink.end(SampleIndex(at + 3_000))
        room.uplink.attach(link)
        await room.uplink.drained()
    assert link.sequence == [START, "audio", END, START, "audio", END]
    assert link.heard == [*stream(8_000, 11_000).tolist(), *stream(12_000, 15_000).tolist()]


async def test_a_turn_that_ends_a_little_ahead_waits_for_its_last_samples_even_when_the_gate_closes():
    link = RecordingLink()
    async with running() as room:
        room.uplink.attach(link)
        await room.listen(0.2)
        room.begin(0, PUSH_TO_TALK, Gate.OPEN)
        await room.listen(0.4)
        room.end(room.ring.end + 500)
        await asyncio.sleep(0.1)
        assert link.sequence == [START, "audio"]
        await room.listen(0.2)
    assert link.sequence == [START, "audio", END]
    assert link.heard == stream(0, 9_600 + 500).tolist()


async def test_a_turn_that_should_have_ended_before_what_was_sent_ends_right_there():
    link = RecordingLink()
    async with running() as room:
        room.uplink.attach(link)
        room.begin(0, PUSH_TO_TALK, Gate.OPEN)
        await room.listen(0.4)
        room.end(1_000)
        await room.uplink.drained()
    assert link.sequence == [START, "audio", END]
    assert 1_000 < len(link.heard) <= 6_400
    assert link.heard == stream(0, len(link.heard)).tolist()


async def test_an_end_far_ahead_does_not_keep_the_microphone_open():
    link = RecordingLink()
    async with running() as room:
        room.uplink.attach(link)
        room.begin(0, PUSH_TO_TALK, Gate.OPEN)
        await room.listen(0.4)
        room.end(10_000_000)
        await room.listen(3.0)
    assert len(link.heard) == 6_400 + 16_000
    assert link.sequence == [START, "audio", END]


async def test_a_press_without_a_sample_is_no_turn():
    link = RecordingLink()
    async with running() as room:
        await room.listen(0.4)
        room.uplink.attach(link)
        room.begin(6_400, PUSH_TO_TALK, Gate.OPEN)
        room.end(6_400)
        await room.listen(0.4)
    assert room.uplink.counts.spans == ()
    assert link.history == []


async def test_in_push_to_talk_a_link_that_is_resumed_without_a_press_hears_nothing():
    link = RecordingLink()
    async with running() as room:
        room.uplink.attach(RecordingLink())
        room.begin(0, PUSH_TO_TALK, Gate.OPEN)
        await room.listen(0.4)
        room.end(6_400)
        await room.uplink.drained()
        room.uplink.detach()
        room.uplink.set_gate(Gate.HOLD)
        await room.listen(1.0)
        room.uplink.attach(link)
        room.uplink.set_gate(Gate.CLOSED)
        await room.listen(1.0)
    assert link.history == []


async def test_a_turn_whose_end_the_lost_link_did_not_take_is_ended_on_the_next():
    first, second = RecordingLink(lasts=11), RecordingLink()  # activity_start and ten chunks
    async with running() as room:
        room.uplink.attach(first)
        room.begin(0, PUSH_TO_TALK, Gate.OPEN)
        await room.listen(0.4)
        room.end(6_400)
        await room.uplink.drained()
        room.uplink.attach(second)
        await room.uplink.drained()
    assert first.heard == stream(0, 6_400).tolist()
    assert first.sequence == [START, "audio"]
    assert second.sequence == [START, END]


async def test_an_activity_that_was_being_started_when_its_turn_ended_without_a_sample_is_ended():
    link = RecordingLink(delay_s=0.1)
    async with running() as room:
        await room.listen(0.4)
        room.uplink.attach(link)
        room.begin(0, PUSH_TO_TALK, Gate.OPEN)
        await asyncio.sleep(0.05)
        room.end(0)
        await room.uplink.drained()
    assert link.sequence == [START, END]
