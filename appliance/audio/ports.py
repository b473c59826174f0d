"""What the conversation needs of a microphone and of a speaker.

Everything here is mono int16: 16 kHz on the way in, 24 kHz on the way out. An adapter converts to and from what its
card or file has. Times are ``loop.time()`` seconds.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Final, Protocol

from appliance.units import REPLY, Pcm, SampleIndex, Seconds


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


DECK_S: Final = 2.0
"""The most reply audio, in seconds, that a deck is given ahead of what it has played."""


class Mixer(Protocol):
    """What plays: in this process, or in the audio worker. All on the loop's thread; all return at once.

    Positions count the reply samples, 24 kHz mono, that the deck was given since it was made. It may be given `DECK_S`
    ahead of the end of the newest `PlayedPeriod`, or of the newest cut.
    """

    def load(self, samples: Pcm) -> None:
        """Append to the reply that has not been completed, or begin one."""

    def complete(self) -> None:
        """Tell that the reply has no more samples."""

    def cut(self) -> None:
        """Silence everything, sounds too, with a fade: all that was given so far is stale."""

    def sound(self, samples: Pcm) -> None:
        """Play a sound, 24 kHz mono, over a reply or alone, after the sounds before it."""

    def set_gain(self, gain: float) -> None:
        """Multiply everything by ``gain``, 0 to 1, from the next period on; that one is a ramp."""


class Edge(Enum):
    """How a run of reply audio began or ended in one period."""

    NONE = "none"
    STARTED = "started"
    """Sound after silence."""
    DRY = "dry"
    """Faded to silence, although the reply goes on."""
    COMPLETE = "complete"
    """The last sample of a complete reply was taken."""
    FLUSHED = "flushed"
    """Faded to silence because of a cut."""


@dataclass(frozen=True, slots=True)
class PlayedPeriod:
    """One period with reply audio, all of one reply, at its beginning; or the period in which a cut took effect."""

    audible_at: Seconds
    """When its first sample reaches the ear."""
    start: int
    """Position of the first sample."""
    count: int
    """Samples, 24 kHz."""
    edge: Edge

    @property
    def silent_at(self) -> Seconds:
        """When its last sample of a reply has been heard."""
        return Seconds(self.audible_at + REPLY.duration(self.count))


class PlaybackSink(Protocol):
    """Source that a speaker plays from: implemented by `audio.playback.playback.Playback`. All on the loop's thread."""

    def connect(self, deck: Mixer, audible_at: Seconds) -> None:
        """Play on this deck from now on; its first sample, silence included, is heard at ``audible_at``.

        A reply that was not heard to its end goes on from the first sample that was not heard.
        """

    def pulled(self, pulled: PlayedPeriod) -> None:
        """Account for a period; in order, each once."""

    def beat(self) -> None:
        """Note that the speaker lives: called four times a second or more often."""

    def disconnect(self) -> None:
        """The deck is gone; what it had taken and was not yet heard counts as not heard."""


class Speaker(Protocol):
    """Where replies and sounds become audible."""

    async def run(self, playback: PlaybackSink) -> None:
        """Connect a deck and pull from it, always, silence included, until cancelled.

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
