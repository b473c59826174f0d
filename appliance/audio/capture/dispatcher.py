"""Delivers microphone blocks: to the buffer first, then to the uplink, then to the other listeners."""

from collections.abc import Callable, Sequence

from appliance.audio.capture.microphone_buffer import MicrophoneBuffer
from appliance.audio.capture.uplink import Uplink
from appliance.audio.ports import Block, Microphone
from appliance.clock import loop_time
from appliance.units import Seconds


class CaptureDispatcher:
    """Owns the microphone while `run` runs. Listeners are called on the loop's thread, in order, and must be quick."""

    def __init__(
        self,
        microphone: Microphone,
        buffer: MicrophoneBuffer,
        uplink: Uplink,
        listeners: Sequence[Callable[[Block], None]] = (),
    ) -> None:
        self._microphone = microphone
        self._buffer = buffer
        self._uplink = uplink
        self._listeners = tuple(listeners)
        self._last_block_at: Seconds | None = None

    @property
    def last_block_at(self) -> Seconds | None:
        """``loop.time()`` when the last block had been stored; None before the first. The watchdog checks its age."""
        return self._last_block_at

    async def run(self) -> None:
        """Run the microphone until its input ends (a file).

        Raises:
            MicrophoneError: The microphone cannot be opened, or has stopped.
        """
        await self._microphone.run(self._take)

    def _take(self, block: Block) -> None:
        self._buffer.append(block)
        self._last_block_at = loop_time()
        self._uplink.notify()
        for listener in self._listeners:
            listener(block)
