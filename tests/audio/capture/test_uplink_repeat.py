"""Sent speech can be sent again: to another link, from the last answer on, and nothing else."""

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.audio.capture.spans import MARGIN_S
from appliance.core.state import Gate
from appliance.units import UPLINK
from tests.support.uplink import END, HANDS_FREE, PUSH_TO_TALK, START, RecordingLink, Room, running, stream


def balanced(room: Room) -> bool:
    counts = room.uplink.counts
    return counts.captured + counts.repeated == counts.sent + counts.dropped


async def test_an_utterance_is_sent_again_to_the_next_link_and_the_stream_goes_on_after_it():
    first, second = RecordingLink(), RecordingLink()
    async with running() as room:
        await room.listen(1.0)
        room.begin(12_800, gate=Gate.OPEN)
        room.uplink.attach(first)
        await room.listen(2.0)
        room.uplink.detach()
        takes = room.uplink.resend_turn()
        await room.listen(0.5)
        room.uplink.attach(second)
        await room.listen(2.0)
        room.uplink.set_gate(Gate.CLOSED)
        await room.uplink.drained()
        assert balanced(room)
        assert room.uplink.counts.repeated == len(first.heard)
    assert first.heard == stream(12_800, 12_800 + len(first.heard)).tolist()
    assert second.heard == stream(12_800, 88_000).tolist()
    assert takes == pytest.approx(len(first.heard) / 64_000)


async def test_what_has_its_answer_is_not_repeated():
    first, second = RecordingLink(), RecordingLink()
    async with running() as room:
        room.begin(0, gate=Gate.OPEN)
        room.uplink.attach(first)
        await room.listen(1.0)
        room.uplink.set_gate(Gate.CLOSED)
        await room.uplink.drained()
        room.uplink.answered()
        await room.listen(1.0)
        room.uplink.set_gate(Gate.OPEN)
        await room.listen(1.0)
        answered_to = room.uplink.counts.spans[0][1]
        room.uplink.attach(second)
        room.uplink.resend_turn()
        room.uplink.set_gate(Gate.CLOSED)
        await room.uplink.drained()
        assert balanced(room)
    assert answered_to == 16_000
    assert second.heard == stream(32_000, 48_000).tolist()


@pytest.mark.parametrize(("ends", "again_from"), [(False, 0), (True, 16_000)])
async def test_what_is_being_answered_has_its_answer_at_its_end(ends: bool, again_from: int):
    first, second = RecordingLink(), RecordingLink()
    async with running() as room:
        room.begin(0, gate=Gate.OPEN)
        room.uplink.attach(first)
        await room.listen(1.0)
        room.uplink.answering()
        await room.listen(1.0)
        if ends:
            room.uplink.answered()
        room.uplink.attach(second)
        room.uplink.resend_turn()
        await room.listen(1.0)
    assert again_from - 640 <= int(stream(0, 48_000).tolist().index(second.heard[0])) <= again_from


async def test_what_had_not_arrived_as_an_answer_began_has_no_answer():
    first, second = RecordingLink(), RecordingLink()
    async with running() as room:
        room.begin(0, gate=Gate.OPEN)
        room.uplink.attach(first)
        await room.listen(0.2)
        room.uplink.handle_came(0)
        await room.listen(0.8)
        room.uplink.answering(undelivered=1_280)
        await room.listen(1.0)
        room.uplink.answered()
        room.uplink.requeue(0, to_handle=True)
        room.uplink.attach(second)
        await room.listen(1.0)
    assert 16_000 - 1_280 - 640 <= int(stream(0, 48_000).tolist().index(second.heard[0])) <= 16_000 - 1_280


async def test_a_push_to_talk_turn_is_a_turn_again():
    first, second = RecordingLink(), RecordingLink()
    async with running() as room:
        room.begin(0, PUSH_TO_TALK, Gate.OPEN)
        room.uplink.attach(first)
        await room.listen(1.0)
        room.end(16_000)
        await room.uplink.drained()
        assert first.sequence == [START, "audio", END]
        room.uplink.attach(second)
        room.uplink.resend_turn()
        await room.uplink.drained()
        assert balanced(room)
    assert second.sequence == [START, "audio", END]
    assert second.heard == stream(0, 16_000).tolist()


async def test_no_more_is_repeated_than_the_ring_has():
    first, second = RecordingLink(), RecordingLink()
    async with running(capacity_s=2.0) as room:
        room.begin(0, gate=Gate.OPEN)
        room.uplink.attach(first)
        await room.listen(3.0)
        room.uplink.set_gate(Gate.CLOSED)
        await room.uplink.drained()
        room.uplink.attach(second)
        room.uplink.resend_turn()
        await room.uplink.drained()
    assert second.heard == stream(16_000, 48_000).tolist()
    assert room.uplink.counts.dropped == 0
    assert balanced(room)


@settings(max_examples=40)
@given(
    mode=st.sampled_from([HANDS_FREE, PUSH_TO_TALK]),
    lasts=st.lists(st.integers(0, 8), max_size=4),
    delay_s=st.sampled_from([0.0, 0.01, 0.05]),
    pause_s=st.sampled_from([0.0, 0.02, 0.1, 0.3]),
)
async def test_however_many_links_fail_in_a_repetition_the_one_that_lasts_hears_it_whole(mode, lasts, delay_s, pause_s):
    async with running() as room:
        room.begin(0, mode, Gate.OPEN)
        for chunks in lasts:
            room.uplink.attach(RecordingLink(chunks, delay_s))
            await room.listen(pause_s)
            room.uplink.resend_turn()
        await room.listen(0.2)
        last = RecordingLink(delay_s=delay_s)
        room.uplink.attach(last)
        room.uplink.resend_turn()
        await asyncio.sleep(0)
        room.end(room.ring.end)
        await room.uplink.drained()
        assert last.heard == stream(0, room.ring.end).tolist()
        assert balanced(room)
        if mode is PUSH_TO_TALK:
            assert last.sequence == [START, "audio", END]


@pytest.mark.parametrize("lost", [0, 1, 640, 1280, 5_000])
async def test_what_has_not_arrived_is_sent_to_the_next_link_before_what_follows(lost):
    first, second = RecordingLink(), RecordingLink()
    async with running() as room:
        room.begin(0, gate=Gate.OPEN)
        room.uplink.attach(first)
        await room.listen(2.0)
        room.uplink.detach()
        takes = room.uplink.requeue(lost)
        assert takes == pytest.approx(lost / 64_000)
        room.uplink.attach(second)
        await room.listen(1.0)
        room.uplink.set_gate(Gate.CLOSED)
        await room.uplink.drained()
        assert balanced(room)
        assert room.uplink.counts.repeated == lost
    arrived = len(first.heard) - lost
    assert second.heard == stream(arrived, 48_000).tolist()


async def test_what_has_not_arrived_of_a_finished_press_is_a_turn_again():
    first, second = RecordingLink(), RecordingLink()
    async with running() as room:
        room.begin(0, PUSH_TO_TALK, gate=Gate.OPEN)
        room.uplink.attach(first)
        await room.listen(1.0)
        room.uplink.set_gate(Gate.CLOSED)
        await room.uplink.drained()
        room.uplink.detach()
        room.uplink.requeue(1_000)
        room.uplink.attach(second)
        await room.uplink.drained()
        assert balanced(room)
    assert first.heard == stream(0, 16_000).tolist()
    assert second.sequence == [START, "audio", END]
    assert second.heard == stream(15_000, 16_000).tolist()


async def test_more_than_was_sent_cannot_be_requeued_nor_what_has_its_answer():
    first, second = RecordingLink(), RecordingLink()
    async with running() as room:
        room.begin(0, gate=Gate.OPEN)
        room.uplink.attach(first)
        await room.listen(1.0)
        room.uplink.answered()
        answered = len(first.heard)
        await room.listen(0.4)
        room.uplink.requeue(100_000)
        room.uplink.attach(second)
        room.uplink.set_gate(Gate.CLOSED)
        await room.uplink.drained()
        assert balanced(room)
    assert second.heard == stream(answered, 22_400).tolist()


async def test_what_a_lost_link_is_still_being_sent_is_requeued_with_what_it_did_not_deliver():
    """A send that waits for room ends only some time after the loss is known."""

    first, second = RecordingLink(lasts=10, delay_s=0.05), RecordingLink()
    async with running() as room:
        room.begin(0, gate=Gate.OPEN)
        room.uplink.attach(first)
        while len(first.chunks) < 10:
            await room.listen(0.02)
        await asyncio.sleep(0.01)
        room.uplink.requeue(1_000)
        room.uplink.attach(second)
        await room.listen(1.0)
        room.uplink.set_gate(Gate.CLOSED)
        await room.uplink.drained()
        assert balanced(room)
        assert second.heard == stream(len(first.heard) - 1_000, room.ring.end).tolist()


async def test_a_lost_link_is_sent_nothing_more_once_its_samples_are_requeued():
    link = RecordingLink()
    async with running() as room:
        room.begin(0, gate=Gate.OPEN)
        room.uplink.attach(link)
        await room.listen(1.0)
        sent = len(link.heard)
        room.uplink.requeue(1_000)
        await room.listen(1.0)
        assert len(link.heard) == sent


async def test_a_press_of_which_nothing_was_sent_is_no_turn_for_the_next_link():
    second = RecordingLink()
    async with running() as room:
        room.uplink.attach(RecordingLink())
        await room.listen(0.2)
        room.begin(room.ring.end, PUSH_TO_TALK, Gate.OPEN)
        room.uplink.requeue(0)
        room.end(room.ring.end)
        room.uplink.attach(second)
        await room.listen(0.2)
    assert second.sequence == []


async def test_what_was_forgotten_with_a_change_of_mode_is_not_repeated():
    last = RecordingLink()
    async with running() as room:
        room.begin(0, HANDS_FREE, Gate.OPEN)
        room.uplink.attach(RecordingLink())
        await room.listen(1.0)
        room.uplink.detach()
        await room.listen(0.5)
        room.begin(room.ring.end, PUSH_TO_TALK, Gate.OPEN)
        await room.listen(0.5)
        room.begin(room.ring.end, HANDS_FREE, Gate.OPEN)
        await room.listen(0.5)
        room.uplink.attach(last)
        room.uplink.resend_turn()
        room.uplink.set_gate(Gate.CLOSED)
        await room.uplink.drained()
        assert balanced(room)
    assert last.heard == stream(32_000, 40_000).tolist()


async def test_what_was_captured_as_an_answer_began_and_holds_no_speech_is_not_asked_again():
    link = RecordingLink()
    async with running() as room:
        room.uplink.attach(link)
        room.begin(0, gate=Gate.OPEN)
        await room.listen(1.0)
        room.uplink.answering()
        await room.listen(0.1)
        room.uplink.set_gate(Gate.CLOSED)
        room.uplink.nothing_said()
        room.uplink.answered()
        room.uplink.resend_turn()
        await room.uplink.drained()
    assert link.heard == stream(0, 17_600).tolist()


@pytest.mark.parametrize("answered", [False, True])
async def test_a_session_that_is_resumed_is_sent_all_since_its_handle_though_all_of_it_arrived(answered: bool):
    begins = 16_000 - UPLINK.frames(MARGIN_S)
    second = RecordingLink()
    async with running() as room:
        room.begin(0, gate=Gate.OPEN)
        room.uplink.attach(RecordingLink())
        await room.listen(1.0)
        room.uplink.handle_came(0)
        await room.listen(2.0)
        if answered:
            room.uplink.answered()
        await room.listen(0.2)
        room.uplink.requeue(0, to_handle=True)
        room.uplink.attach(second)
        room.uplink.set_gate(Gate.CLOSED)
        await room.uplink.drained()
        assert balanced(room)
    heard = second.heard
    if answered:
        assert heard == stream(51_200 - len(heard), 51_200).tolist()
        assert len(heard) < 5_000, "what has its answer is not asked again"
    else:
        assert abs(51_200 - len(heard) - begins) <= 640
        assert heard == stream(51_200 - len(heard), 51_200).tolist()


async def test_a_press_of_which_a_resumed_session_does_not_know_all_is_a_turn_again_from_its_beginning():
    second = RecordingLink()
    async with running() as room:
        room.begin(0, PUSH_TO_TALK, gate=Gate.OPEN)
        room.uplink.attach(RecordingLink())
        await room.listen(1.0)
        room.uplink.handle_came(0)
        await room.listen(1.0)
        room.uplink.requeue(0, to_handle=True)
        room.uplink.attach(second)
        room.uplink.set_gate(Gate.CLOSED)
        await room.uplink.drained()
    assert second.sequence == [START, "audio", END]
    assert second.heard == stream(0, 32_000).tolist()
