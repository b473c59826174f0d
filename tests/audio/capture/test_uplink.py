"""Nothing said is lost: plain stories. Random ones are in test_uplink_property.py, push-to-talk has its own file."""

import asyncio

import pytest

from appliance.core.state import Gate, Mode
from appliance.units import SampleIndex
from tests.support.uplink import END, HANDS_FREE, PUSH_TO_TALK, START, STREAM_END, RecordingLink, running, stream


async def test_a_link_that_opens_three_seconds_late_hears_every_sample_and_soon_hears_them_live():
    async with running() as room:
        await room.listen(1.0)
        room.begin(16_000 - 3200)  # 200 ms of pre-roll
        await room.listen(3.0)
        link = RecordingLink()
        room.uplink.attach(link)
        room.uplink.set_gate(Gate.OPEN)
        opened = asyncio.get_running_loop().time()
        await room.listen(2.0)
        room.uplink.set_gate(Gate.CLOSED)
        await room.uplink.drained()
        ended = asyncio.get_running_loop().time()
    assert link.heard == stream(12_800, 96_000).tolist()
    assert room.uplink.counts.spans == ((12_800, 96_000),)
    assert ended - opened == pytest.approx(2.0, abs=0.03)

    sent_to, behind = 12_800, []
    for at, chunk in link.chunks:
        assert len(chunk) <= 1600
        assert sent_to + len(chunk) - 12_800 <= (at - opened) * 4 * 16_000 + 1601, "no faster than four times real time"
        sent_to += len(chunk)
        captured = 64_000 + (at - opened) * 16_000
        behind.append((at - opened, (captured - sent_to) / 16_000))
    assert all(lag < 0.08 for at, lag in behind if at > 1.2)
    assert {len(chunk) for at, chunk in link.chunks if 1.2 < at - opened < 1.99} == {640}


async def test_nothing_is_sent_without_a_wake_word_or_a_press():
    link = RecordingLink()
    async with running() as room:
        room.uplink.attach(link)
        await room.listen(3.0)
    assert link.history == []


@pytest.mark.parametrize("mode", [HANDS_FREE, PUSH_TO_TALK])
async def test_a_lost_link_costs_no_sample(mode: Mode):
    first, second = RecordingLink(lasts=7), RecordingLink()
    async with running() as room:
        room.uplink.attach(first)
        room.begin(0, mode, Gate.OPEN)
        await room.listen(1.0)
        room.uplink.set_gate(Gate.HOLD)
        await room.listen(1.0)
        room.uplink.attach(second)
        room.uplink.set_gate(Gate.OPEN)
        await room.listen(1.0)
        room.end(48_000)
        await room.uplink.drained()
    assert first.heard + second.heard == stream(0, 48_000).tolist()
    assert first.heard
    assert room.uplink.counts.sent == room.uplink.counts.captured == 48_000
    if mode is PUSH_TO_TALK:
        assert first.sequence == [START, "audio"]
        assert second.sequence == [START, "audio", END]


async def test_a_hands_free_pause_longer_than_a_second_is_told_once_and_a_shorter_one_is_not():
    link = RecordingLink()
    async with running() as room:
        room.uplink.attach(link)
        room.begin(0, gate=Gate.OPEN)
        for pause_s in (0.8, 5.0):
            await room.listen(1.0)
            room.uplink.set_gate(Gate.CLOSED)
            await room.listen(pause_s)
            room.uplink.set_gate(Gate.OPEN)
        await room.listen(1.0)
    assert link.sequence == ["audio", STREAM_END, "audio"]
    [stream_end] = [at for at, what in link.history if isinstance(what, str) and what == STREAM_END]
    assert stream_end - max(at for at, _ in link.chunks if at < stream_end) == pytest.approx(1.0, abs=0.01)


async def test_a_pause_is_told_only_to_the_link_that_heard_the_speech():
    first, second = RecordingLink(), RecordingLink()
    async with running() as room:
        room.uplink.attach(first)
        room.begin(0, gate=Gate.OPEN)
        await room.listen(0.4)
        room.uplink.set_gate(Gate.CLOSED)
        await room.uplink.drained()
        room.uplink.attach(second)
        await room.listen(3.0)
    assert first.sequence == ["audio"]
    assert second.history == []


async def test_barge_in_while_the_microphone_is_open_just_goes_on():
    link = RecordingLink()
    async with running() as room:
        room.uplink.attach(link)
        room.begin(0, gate=Gate.OPEN)
        await room.listen(1.0)
        room.begin(12_000, gate=Gate.OPEN)
        await room.listen(1.0)
        room.uplink.set_gate(Gate.CLOSED)
        await room.uplink.drained()
    assert link.heard == stream(0, 32_000).tolist()


async def test_preroll_that_an_earlier_turn_has_sent_is_not_sent_again():
    link = RecordingLink()
    async with running() as room:
        room.uplink.attach(link)
        room.begin(0, gate=Gate.OPEN)
        await room.listen(1.0)
        room.uplink.set_gate(Gate.CLOSED)
        await room.listen(0.1)
        room.begin(14_000, gate=Gate.OPEN)
        await room.listen(0.1)
        room.uplink.set_gate(Gate.CLOSED)
        await room.uplink.drained()
    assert link.heard == stream(0, 19_200).tolist()


async def test_what_the_ring_could_not_hold_is_counted_and_told_once():
    link = RecordingLink()
    async with running(capacity_s=2.0) as room:
        room.begin(0)
        await room.listen(5.0)
        room.uplink.attach(link)
        room.uplink.set_gate(Gate.OPEN)
        await room.listen(2.0)
        room.uplink.set_gate(Gate.CLOSED)
        await room.uplink.drained()
    assert link.heard == stream(3 * 16_000, 7 * 16_000).tolist()
    assert room.lost == [3 * 16_000]
    assert room.uplink.counts.dropped == 3 * 16_000
    assert room.uplink.counts.captured == 7 * 16_000


async def test_a_loss_that_goes_on_is_reported_once_with_its_sum():
    async with running(capacity_s=1.0) as room:
        room.begin(0)
        await room.listen(2.0)
        room.uplink.attach(RecordingLink(lasts=4, delay_s=0.4))  # slower than speech
        room.uplink.set_gate(Gate.OPEN)
        await room.listen(3.0)
        assert room.lost == []
        room.uplink.attach(RecordingLink())
        await room.listen(2.0)
    assert len(room.lost) == 1
    assert room.lost == [room.uplink.counts.dropped]


async def test_a_conversation_that_is_forgotten_leaves_nothing_to_the_next():
    first, second = RecordingLink(), RecordingLink()
    async with running() as room:
        room.uplink.attach(first)
        room.begin(0)  # held, never sent
        await room.listen(1.0)
        room.uplink.reset()
        assert room.uplink.counts.spans == ()
        assert room.lost == [16_000]
        room.begin(14_000, gate=Gate.OPEN)
        await room.listen(0.5)
        room.uplink.attach(second)
        room.uplink.set_gate(Gate.CLOSED)
        await room.uplink.drained()
    assert first.history == []
    assert second.heard == stream(14_000, 24_000).tolist()
    counts = room.uplink.counts
    assert (counts.captured, counts.sent, counts.dropped) == (26_000, 10_000, 16_000)


async def test_after_a_conversation_the_gate_alone_does_not_open_the_microphone_nor_does_a_wake_word_open_the_gate():
    link = RecordingLink()
    async with running() as room:
        room.begin(0, gate=Gate.OPEN)
        await room.listen(0.4)
        room.uplink.reset()
        room.uplink.attach(link)
        room.uplink.begin(SampleIndex(6_400), HANDS_FREE)
        await room.listen(0.4)
        room.uplink.reset()
        room.uplink.attach(link)
        room.uplink.set_gate(Gate.OPEN)
        await room.listen(0.4)
    assert link.history == []


async def test_what_was_on_its_way_when_the_conversation_was_forgotten_is_dropped_if_the_link_fails():
    async with running() as room:
        room.uplink.attach(RecordingLink(lasts=0, delay_s=1.0))
        room.begin(0, gate=Gate.OPEN)
        await room.listen(0.4)
        room.uplink.reset()
        await room.listen(2.0)
    counts = room.uplink.counts
    assert (counts.captured, counts.sent, counts.dropped) == (6_400, 0, 6_400)


async def test_a_link_that_fails_after_it_was_replaced_gives_its_samples_to_its_successor():
    first, second = RecordingLink(lasts=1, delay_s=0.3), RecordingLink()
    async with running() as room:
        room.uplink.attach(first)
        room.begin(0, gate=Gate.OPEN)
        await room.listen(0.4)
        room.uplink.attach(second)
        await room.listen(0.4)
        room.uplink.set_gate(Gate.CLOSED)
        await room.uplink.drained()
    assert len(first.heard) == 640
    assert first.heard + second.heard == stream(0, 12_800).tolist()


async def test_a_turn_of_the_other_mode_waits_for_a_link_of_its_own():
    first, second = RecordingLink(), RecordingLink()
    async with running() as room:
        room.uplink.attach(first)
        room.begin(0, PUSH_TO_TALK, Gate.OPEN)
        await room.listen(0.4)
        room.end(6_400)
        await room.uplink.drained()
        room.begin(6_400, HANDS_FREE, Gate.OPEN)
        await room.listen(0.4)
        room.uplink.attach(second)
        await room.listen(0.4)
        room.uplink.set_gate(Gate.CLOSED)
        await room.uplink.drained()
    assert first.sequence == [START, "audio", END]
    assert second.sequence == ["audio"]
    assert second.heard == stream(6_400, 19_200).tolist()


async def test_detaching_a_link_that_was_replaced_does_not_detach_its_successor():
    first, second = RecordingLink(), RecordingLink()
    async with running() as room:
        room.uplink.attach(first)
        room.uplink.attach(second)
        room.uplink.detach(first)
        room.begin(0, gate=Gate.OPEN)
        await room.listen(0.4)
        room.uplink.set_gate(Gate.CLOSED)
        await room.uplink.drained()
    assert second.heard == stream(0, 6_400).tolist()


async def test_draining_does_not_wait_for_a_link_that_is_gone():
    async with running() as room:
        room.uplink.attach(RecordingLink(delay_s=60.0))
        room.begin(0, gate=Gate.OPEN)
        await room.listen(0.4)
        room.uplink.set_gate(Gate.CLOSED)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await room.uplink.drained()
        room.uplink.detach()
        async with asyncio.timeout(0.5):
            await room.uplink.drained()


async def test_a_slow_link_is_caught_up_without_waiting_on_top_of_its_own_time():
    link = RecordingLink(delay_s=0.03)  # 100 ms of audio take 30 ms: longer than the pace of 25 ms
    async with running() as room:
        room.begin(0)
        await room.listen(3.0)
        room.uplink.attach(link)
        room.uplink.set_gate(Gate.CLOSED)
        began = asyncio.get_running_loop().time()
        await room.uplink.drained()
    assert (asyncio.get_running_loop().time() - began) == pytest.approx(0.9, abs=0.02)


async def test_a_gate_that_opens_after_a_reply_holds_the_span_until_its_beginning_is_known():
    clean_from: list[SampleIndex] = []
    async with running(clean_from=lambda: clean_from[0] if clean_from else None) as room:
        link = RecordingLink()
        room.uplink.attach(link)
        await room.listen(1.0)
        room.begin(16_000, gate=Gate.OPEN)
        await room.listen(1.0)
        room.uplink.set_gate(Gate.CLOSED)
        await room.listen(1.0)
        room.uplink.set_gate(Gate.OPEN)
        await room.listen(0.5)
        assert room.uplink.counts.sent == 16_000
        clean_from.append(SampleIndex(52_000))
        await room.listen(0.5)
        assert not room.uplink.may_echo
        room.uplink.set_gate(Gate.CLOSED)
        await room.uplink.drained()
    assert room.uplink.counts.spans == ((16_000, 32_000), (52_000, 64_000))
    assert link.heard == [*stream(16_000, 32_000).tolist(), *stream(52_000, 64_000).tolist()]
    assert room.uplink.counts.captured == room.uplink.counts.sent == 28_000


async def test_what_may_be_an_echo_is_not_sent_when_the_gate_closes_again_and_a_wake_word_needs_no_proof():
    async with running(clean_from=lambda: None) as room:
        link = RecordingLink()
        room.uplink.attach(link)
        room.begin(0, gate=Gate.OPEN)
        await room.listen(1.0)
        room.uplink.set_gate(Gate.CLOSED)
        room.uplink.set_gate(Gate.OPEN)
        await room.listen(1.0)
        room.uplink.set_gate(Gate.CLOSED)
        await room.listen(1.0)
        room.begin(40_000, gate=Gate.OPEN)
        await room.listen(1.0)
    assert link.heard[:16_000] == stream(0, 16_000).tolist()
    assert link.heard[16_000:] == stream(40_000, 40_000 + len(link.heard) - 16_000).tolist()
    assert len(link.heard) > 32_000
