"""What the conversation needs of a microphone and of a speaker.

Everything here is mono int16: 16 kHz on the way in, 24 kHz on the way out. An adapter converts to and from what its
card or file has. Times are ``loop.time()`` seconds.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from appliance.units import Pcm, SampleIndex, Seconds


@dataclass(frozen=True, slots=True)
class Block:
    """Consecutive microphone samples, 16 kHz mono.

    ``start`` is the index of the first; a jump against the end of the block before means that samples were lost.
    """

    start: SampleIndex
    samples: Pcm
    captured_at: Seconds
    """When the last sample was captured."""


class Microphone(Protocol):
    """A source of 16 kHz mono blocks."""

    async def run(self, on_block: Callable[[Block], None]) -> None:
        """Deliver blocks on the loop's thread until cancelled; return only where the input has an end (a file).

        Raises:
            MicrophoneError: It cannot be opened, or has stopped.
        """


class PeriodSource(Protocol):
    """Where a speaker gets its samples: implemented by `audio.playback.Playback`."""

    def pull(self, frames: int, audible_at: Seconds) -> Pcm:
        """Return exactly ``frames`` samples, 24 kHz mono, zeros where there is nothing to play.

        Called on the speaker's own thread; never blocks, logs or raises. ``audible_at`` is when the first sample
        reaches the ear.
        """


class Speaker(Protocol):
    """A sink that pulls 24 kHz mono periods, always, silence included."""

    async def run(self, source: PeriodSource) -> None:
        """Pull until cancelled.

        Raises:
            SpeakerError: It cannot be opened, or has stopped.
        """


class UplinkSink(Protocol):
    """Where the uplink sends: one open Live link."""

    async def send_audio(self, pcm: bytes) -> None:
        """Send 16 kHz mono s16le samples; raises LinkError."""

    async def send_activity_start(self) -> None:
        """Begin a push-to-talk turn; raises LinkError."""

    async def send_activity_end(self) -> None:
        """End a push-to-talk turn; raises LinkError."""

    async def send_audio_stream_end(self) -> None:
        """Tell that the stream pauses (hands-free, more than 1 s); raises LinkError."""
