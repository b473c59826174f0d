"""Every block reaches the ring and every listener, and a broken microphone is not kept quiet."""

import asyncio
from collections.abc import Callable, Sequence

import numpy as np
import pytest

from appliance.audio.capture.dispatcher import CaptureDispatcher
from appliance.audio.capture.microphone_buffer import MicrophoneBuffer
from appliance.audio.capture.uplink import Uplink
from appliance.audio.ports import Block
from appliance.errors import MicrophoneError
from appliance.units import SampleIndex, Seconds


class ShortMicrophone:
    """Delivers these blocks 20 ms apart, then ends or fails."""

    def __init__(self, starts: Sequence[int], failure: MicrophoneError | None = None) -> None:
        self._starts = starts
        self._failure = failure

    async def run(self, on_block: Callable[[Block], None]) -> None:
        for start in self._starts:
            await asyncio.sleep(0.02)
            now = Seconds(asyncio.get_running_loop().time())
            on_block(Block(SampleIndex(start), np.full(320, start, dtype=np.int16), now))
        if self._failure:
            raise self._failure


async def test_each_block_is_in_the_ring_before_the_listeners_hear_of_it_in_their_order():
    ring = MicrophoneBuffer(1.0)
    heard: list[tuple[str, int, int]] = []
    capture = CaptureDispatcher(
        ShortMicrophone([0, 320]),
        ring,
        Uplink(ring),
        [
            lambda block: heard.append(("wake word", block.start, ring.end)),
            lambda block: heard.append(("meter", block.start, ring.end)),
        ],
    )
    await capture.run()
    assert heard == [
        ("wake word", 0, 320),
        ("meter", 0, 320),
        ("wake word", 320, 640),
        ("meter", 320, 640),
    ]


async def test_the_watchdog_can_see_how_old_the_last_block_is():
    ring = MicrophoneBuffer(1.0)
    capture = CaptureDispatcher(ShortMicrophone([0, 320, 1000]), ring, Uplink(ring))
    assert capture.last_block_at is None
    began = asyncio.get_running_loop().time()
    await capture.run()
    assert capture.last_block_at == pytest.approx(began + 0.06)


async def test_a_failing_microphone_fails_the_capture():
    ring = MicrophoneBuffer(1.0)
    capture = CaptureDispatcher(ShortMicrophone([0], MicrophoneError("unplugged")), ring, Uplink(ring))
    with pytest.raises(MicrophoneError, match="unplugged"):
        await capture.run()
    assert ring.end == 320
