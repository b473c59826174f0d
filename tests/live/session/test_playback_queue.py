import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from appliance.core.events import ReplyEnded
from appliance.live.session.playback_queue import PlaybackQueue
from appliance.live.session.reply_filter import ReplyChunk
from appliance.units import Epoch
from tests.clock import run_virtual

SECOND = bytes(48_000)


class SlowPlayback:
    """Takes one chunk a second, and keeps a list of what it took and what it was told."""

    def __init__(self) -> None:
        self.taken: list[object] = []

    async def write(self, epoch: Epoch, pcm: bytes) -> None:
        await asyncio.sleep(len(pcm) / len(SECOND))
        self.taken.append(epoch)

    def ended(self, event: ReplyEnded) -> None:
        self.taken.append(event)


@asynccontextmanager
async def handing_over(playback: SlowPlayback, capacity_s: float) -> AsyncIterator[PlaybackQueue]:
    hand_over = PlaybackQueue(playback.write, playback.ended, capacity_s)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(hand_over.run())
        yield hand_over
        running.cancel()


def second(epoch: int) -> ReplyChunk:
    return ReplyChunk(Epoch(epoch), SECOND)


def test_the_end_of_a_reply_is_told_after_its_last_audio_is_written():
    async def main():
        playback = SlowPlayback()
        async with handing_over(playback, 10.0) as hand_over:
            await hand_over.put(second(1))
            await hand_over.put(second(1))
            await hand_over.put(ReplyEnded(1, 1))
            await asyncio.sleep(1.5)
            early = list(playback.taken)
            await asyncio.sleep(1.0)
        return early, playback.taken

    assert run_virtual(main) == ([1], [1, 1, ReplyEnded(1, 1)])


def test_a_full_queue_makes_the_reader_wait_and_counts_it():
    async def main():
        playback = SlowPlayback()
        async with handing_over(playback, 2.0) as hand_over:
            loop = asyncio.get_running_loop()
            began = loop.time()
            for _ in range(5):
                await hand_over.put(second(1))
            waited = loop.time() - began
            await asyncio.sleep(10.0)
            return round(waited, 3), hand_over.waits, len(playback.taken)

    waited, waits, taken = run_virtual(main)
    assert waited == 2.0
    assert waits == 3
    assert taken == 5


def test_clearing_drops_what_waits_in_the_queue_and_before_it():
    async def main():
        playback = SlowPlayback()
        async with handing_over(playback, 1.0) as hand_over, asyncio.TaskGroup() as tasks:
            await hand_over.put(second(1))
            await asyncio.sleep(0)
            await hand_over.put(second(1))
            blocked = tasks.create_task(hand_over.put(second(1)))
            await asyncio.sleep(0.5)
            hand_over.clear()
            await blocked
            await hand_over.put(second(2))
            await asyncio.sleep(5.0)
        return playback.taken

    assert run_virtual(main) == [1, 2]
