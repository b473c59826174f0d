"""Ports of the conversation to a microphone and a speaker.

Everything here is mono int16: 16 kHz on the way in, 24 kHz on the way out. An adapter converts to and from the format
of its card or file. Times are ``loop.time()`` seconds.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Final, Protocol

from appliance.units import REPLY, Pcm, SampleIndex, Seconds


@dataclass(frozen=True, slots=True)
class Block:
    """Consecutive microphone samples, 16 kHz mono.

    ``start`` is the index of the first; a jump from the end of the previous block means that samples were lost.
    """

    start: SampleIndex
    samples: Pcm
    captured_at: Seconds
    """When the last sample was captured."""
    linear: Pcm | None = None
    """The same samples with only the linear part of the echo taken away; None: as `samples`."""

    @property
    def for_wake_word(self) -> Pcm:
        """Samples for a wake-word engine, which hears better with some echo than after a suppressor."""
        return self.samples if self.linear is None else self.linear


class Microphone(Protocol):
    """A source of 16 kHz mono blocks."""

    async def run(self, on_block: Callable[[Block], None]) -> None:
        """Deliver blocks on the loop's thread until cancelled; return only where the input has an end (a file).

        Raises:
            MicrophoneError: It cannot be opened, or has stopped.
        """


MAX_AHEAD_S: Final = 2.0
"""Seconds of reply audio that a mixer takes ahead of what it has played."""


class Mixer(Protocol):
    """Plays replies and sounds, in this process or in the audio worker. Loop thread; every method returns at once.

    Positions count the reply samples, 24 kHz mono, that this mixer was given. The caller keeps at most `MAX_AHEAD_S`
    ahead of the end of the newest `PlayedPeriod`, or of the newest flush.
    """

    def queue(self, samples: Pcm) -> None:
        """Append to the reply that is not complete, or begin one."""

    def complete(self) -> None:
        """Mark the reply as complete: no more samples follow."""

    def flush(self) -> None:
        """Silence replies and sounds, with a fade; drop everything queued so far; replies are no longer ducked."""

    def duck(self, *, ducked: bool) -> None:
        """Turn replies, not sounds, down for a person who may be speaking, or up again; within 10 ms."""

    def play_sound(self, samples: Pcm) -> None:
        """Play a sound, 24 kHz mono, over a reply or alone, after the sounds before it."""

    def set_gain(self, gain: float) -> None:
        """Multiply everything by ``gain``, 0 to 1, from the next period on; that one is a ramp."""


class Edge(Enum):
    """Start or end of a run of reply audio within one period."""

    NONE = "none"
    STARTED = "started"
    """Sound after silence."""
    UNDERRUN = "underrun"
    """Faded to silence although the reply is not complete."""
    COMPLETE = "complete"
    """Played the last sample of a complete reply."""
    FLUSHED = "flushed"
    """Faded to silence because of a flush."""


@dataclass(frozen=True, slots=True)
class PlayedPeriod:
    """One period with reply audio, all of one reply, at its beginning; or the period in which a flush took effect."""

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

    def connect(self, mixer: Mixer, audible_at: Seconds) -> None:
        """Play on this mixer from now on; its first sample, silence included, is heard at ``audible_at``.

        An unfinished reply resumes at the first sample that was not heard.
        """

    def played(self, period: PlayedPeriod) -> None:
        """Account for a period; in order, each once."""

    def heartbeat(self) -> None:
        """Note that the speaker is alive: called four times a second or more often."""

    def disconnect(self) -> None:
        """Stop using the mixer; samples that it played and nobody heard yet count as not heard."""


class Speaker(Protocol):
    """Output on which replies and sounds become audible."""

    async def run(self, playback: PlaybackSink) -> None:
        """Connect a mixer and play it continuously, silence included, until cancelled.

        Raises:
            SpeakerError: It cannot be opened, or has stopped.
        """


class UplinkSink(Protocol):
    """One open Live link, to which the uplink sends."""

    async def send_audio(self, pcm: bytes) -> None:
        """Send 16 kHz mono s16le samples; raises LinkError."""

    async def send_activity_start(self) -> None:
        """Begin a push-to-talk turn; raises LinkError."""

    async def send_activity_end(self) -> None:
        """End a push-to-talk turn; raises LinkError."""

    async def send_audio_stream_end(self) -> None:
        """Announce that the stream pauses (hands-free, more than 1 s); raises LinkError."""
