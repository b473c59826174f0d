"""A microphone and a speaker in a simulated room, on the loop's clock, virtual or true; the echo is taken away.

What the daemon plays reaches its microphone, and what it plays in response to that as well.
"""

import asyncio
from collections.abc import Callable
from typing import Final, Protocol

from appliance.audio.playback.mixer import RingMixer
from appliance.audio.ports import Block, PlaybackSink
from appliance.simulator.room.acoustics import BLOCK
from appliance.simulator.room.room import Room
from appliance.units import REPLY, UPLINK, Pcm, Seconds

_TICK_S: Final = UPLINK.duration(BLOCK)
_PERIOD: Final = REPLY.frames(_TICK_S)
LATENCY_S: Final = 0.03
"""Time from the mixer to the ear that the speaker's driver knows of."""


class EchoRemover(Protocol):
    """The part of `audio.echo.path.EchoPath` that the two devices use."""

    def played(self, samples: Pcm, audible_at: Seconds) -> None:
        """Take what is played next, silence included."""

    def captured(self, block: Block) -> list[Block]:
        """Take the next block; return those whose echo is taken away now."""


class RoomSpeaker:
    """Implements `audio.ports.Speaker`; its clock drifts as the room's options say."""

    def __init__(self, room: Room, echo_path: EchoRemover | None = None) -> None:
        self._room = room
        self._echo_path = echo_path

    async def run(self, playback: PlaybackSink) -> None:
        """See `audio.ports.Speaker`; raises nothing."""
        loop = asyncio.get_running_loop()
        begun_at, period_s = loop.time(), _TICK_S / (1 + self._room.options.ppm * 1e-6)
        mixer = RingMixer(playback.played)
        playback.connect(mixer, Seconds(begun_at + LATENCY_S))
        pulled = 0
        try:
            while True:
                due = begun_at + pulled * period_s
                await asyncio.sleep(due - loop.time())
                self._play(mixer.pull(_PERIOD, Seconds(due + LATENCY_S)), Seconds(due + LATENCY_S))
                pulled += 1
                playback.heartbeat()
        finally:
            playback.disconnect()

    def _play(self, samples: Pcm, audible_at: Seconds) -> None:
        self._room.played(samples, audible_at)
        if self._echo_path is not None:
            self._echo_path.played(samples, audible_at)


class RoomMicrophone:
    """Implements `audio.ports.Microphone`."""

    def __init__(
        self,
        room: Room,
        echo_path: EchoRemover | None = None,
        on_captured: Callable[[Block], None] | None = None,
    ) -> None:
        """``on_captured`` gets each block with its echo."""
        self._room = room
        self._echo_path = echo_path
        self._on_captured = on_captured

    async def run(self, on_block: Callable[[Block], None]) -> None:
        """See `audio.ports.Microphone`; raises nothing."""
        loop = asyncio.get_running_loop()
        begun_at, first = loop.time(), self._room.end
        while True:
            begin = begun_at + UPLINK.duration(self._room.end - first)
            await asyncio.sleep(begin + _TICK_S - loop.time())
            start = self._room.end
            block = Block(start, self._room.capture(Seconds(begin)), Seconds(begin + _TICK_S))
            if self._on_captured is not None:
                self._on_captured(block)
            for clean in [block] if self._echo_path is None else self._echo_path.captured(block):
                on_block(clean)
