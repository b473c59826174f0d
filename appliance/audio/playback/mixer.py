"""Mixes replies and sounds for the card: the real-time half of playback, in the audio worker or in this process.

Converts to the card's rate, falls silent at once after a flush, plays sounds over a reply, applies the volume, and
waits longer before it plays where a reply has run out of samples. One thread queues (`ports.Mixer`), another one pulls;
there is no lock: every field is written by one of them only, and published by a single assignment. `pull` never
blocks, logs or raises.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from appliance.audio.playback.fade import Fade
from appliance.audio.playback.jitter_buffer import JitterBuffer, Taken
from appliance.audio.ports import MAX_AHEAD_S, Edge, PlayedPeriod
from appliance.audio.resample import Resampler
from appliance.units import REPLY, AudioFormat, Hz, Pcm, Seconds

SOUNDS_S: Final = 30.0
"""Seconds of sounds that wait to be played; a sound beyond that is dropped and counted."""
UNDER_SOUND: Final = 0.32
"""Gain of a reply while a sound is played over it (-10 dB)."""
DUCKED: Final = 0.126
"""Gain of a reply that is ducked for a person (-18 dB)."""
DUCK_S: Final = 0.01
"""Time that the reply takes to reach that gain, and to return."""
LENGTHENED_S: Final = 0.02
"""Least prebuffer after an underrun."""
MAX_PREBUFFER_S: Final = 0.48
STABLE_S: Final = 60.0
"""Seconds played without an underrun, after which the prebuffer is halved again."""
_BUFFER_S: Final = 3 * MAX_AHEAD_S
"""Flushed samples stay in it until the thread that pulls has seen the flush."""
_SILENCE: Final[Pcm] = np.zeros(0, np.int16)


@dataclass(frozen=True, slots=True)
class MixerCounts:
    """Since the mixer was made."""

    underruns: int
    """Times that a reply ran out of samples before its end."""
    dropped: int
    """Samples more than `ports.MAX_AHEAD_S` ahead, for which there was no room; at the card's rate."""
    sounds_dropped: int
    prebuffer_s: float
    """Audio collected at present before a reply is played."""


@dataclass(slots=True)
class _Stretch:
    """Part of the buffer that holds one reply: position ``at`` of the buffer is position ``queued`` of the mixer."""

    at: int
    queued: int
    ends: tuple[int, int] | None = None
    """Both positions of its end, once the reply is complete."""


class RingMixer:
    """Implements `ports.Mixer`; `pull` is for the speaker."""

    def __init__(
        self, on_played: Callable[[PlayedPeriod], None], rate_hz: Hz = REPLY.rate_hz, prebuffer_s: float = 0.06
    ) -> None:
        """``on_played`` is called on the thread that pulls: for each period with reply audio, and when a flush acts."""
        self._on_played = on_played
        self._format = AudioFormat(rate_hz)
        self._fade = Fade(rate_hz)
        self._min_prebuffer = self._format.frames(prebuffer_s)
        self._buffer = JitterBuffer(self._format.frames(_BUFFER_S), self._min_prebuffer, self._fade)
        self._buffer.skip_stale()  # the first reply may be one that goes on in the middle of a word: it is faded in
        # Owned by the thread that queues:
        self._resampler: Resampler | None = None
        self._queued = 0
        self._dropped = 0
        self._sounds_dropped = 0
        self._sounds_queued = 0
        # Written by the thread that queues, read by the one that pulls:
        self._stretches: deque[_Stretch] = deque()  # consumed by the one that pulls
        self._sounds: tuple[int, deque[Pcm]] = (0, deque())
        """Number of the newest flush, and the sounds since it."""
        self._gain = 1.0
        self._ducked = False
        # Owned by the thread that pulls:
        self._flush = 0
        self._fade_done = 0
        self._sound = _SILENCE
        self._sounds_taken = 0
        self._applied_gain = 1.0
        self._reply_gain = 1.0
        self._stable = 0

    @property
    def counts(self) -> MixerCounts:
        """Return the counters; any thread."""
        prebuffer_s = self._format.duration(self._buffer.prebuffer)
        return MixerCounts(self._buffer.underruns, self._dropped, self._sounds_dropped, prebuffer_s)

    # For the thread that queues.

    def queue(self, samples: Pcm) -> None:
        """See `ports.Mixer`."""
        if self._resampler is None:
            self._resampler = Resampler(REPLY, self._format.rate_hz)
            self._stretches.append(_Stretch(self._buffer.written, self._queued))
        self._queued += len(samples)
        self._write(self._resampler.feed(samples))

    def complete(self) -> None:
        """See `ports.Mixer`."""
        if self._resampler is None:
            return
        self._write(self._resampler.finish())
        self._resampler = None
        self._stretches[-1].ends = (self._buffer.written, self._queued)
        self._buffer.complete()

    def flush(self) -> None:
        """See `ports.Mixer`."""
        self._resampler = None
        self._buffer.flush()
        self._sounds_queued = self._sounds_taken
        self._sounds = (self._sounds[0] + 1, deque())  # last: who sees it sees the rest
        self._ducked = False  # after that: a reply that is flushed does not get louder before it falls silent

    def duck(self, *, ducked: bool) -> None:
        """See `ports.Mixer`."""
        self._ducked = ducked

    def play_sound(self, samples: Pcm) -> None:
        """See `ports.Mixer`."""
        converter = Resampler(REPLY, self._format.rate_hz)
        converted = np.concatenate((converter.feed(samples), converter.finish()))
        if self._sounds_queued - self._sounds_taken + len(converted) > self._format.frames(SOUNDS_S):
            self._sounds_dropped += 1
            return
        self._sounds_queued += len(converted)
        self._sounds[1].append(converted)

    def set_gain(self, gain: float) -> None:
        """See `ports.Mixer`."""
        self._gain = gain

    def _write(self, samples: Pcm) -> None:
        self._dropped += len(samples) - self._buffer.write(samples)

    # For the thread that pulls.

    def pull(self, frames: int, audible_at: Seconds) -> Pcm:
        """Return the next ``frames`` samples, mono at the card's rate, zeros where there is nothing to play.

        ``audible_at`` is when the first of them reaches the ear.
        """
        out: Pcm = np.zeros(frames, np.int16)
        # A period that has not seen the flush does not reach what was queued after it.
        limit = self._buffer.written
        ducked = self._ducked
        flush, sounds = self._sounds
        gain = self._gain
        sounding = len(sounds) > 0 or len(self._sound) > 0
        reply_gain = DUCKED if ducked else UNDER_SOUND if sounding else 1.0
        if not self._buffer.playing and not len(self._sound):
            self._applied_gain, self._reply_gain = gain, reply_gain  # nothing plays that could ramp from the old ones
        if flush != self._flush:
            taken: Taken | None = self._fall_silent(out, flush)
        else:
            taken = self._buffer.take(out, limit)
            self._adapt(taken)
            if taken is None and not sounding:
                return out  # most periods
            self._mix(out, sounds, reply_gain)
        self._amplify(out, gain)
        if taken is not None:
            self._report(taken, audible_at)
        return out

    def _fall_silent(self, out: Pcm, flush: int) -> Taken:
        sounding = self._buffer.playing or len(self._sound) > 0
        head = out[: self._fade.length - self._fade_done] if sounding else out[:0]
        taken = self._buffer.take_stale(head)
        self._mix(head, deque(), self._reply_gain)
        self._fade.fall(head, self._fade_done)
        self._fade_done += len(head)
        if sounding and self._fade_done < self._fade.length:
            return taken
        self._buffer.skip_stale()
        self._sound = _SILENCE
        self._reply_gain = 1.0
        self._fade_done = 0
        self._flush = flush
        return Taken(taken.start, taken.count, Edge.FLUSHED)

    def _adapt(self, taken: Taken | None) -> None:
        """Collect more audio after an underrun, and less when the last one was long ago."""
        if taken is None:
            return
        longest = max(self._min_prebuffer, self._format.frames(MAX_PREBUFFER_S))
        self._stable += taken.count
        if taken.edge is Edge.UNDERRUN:
            self._buffer.prebuffer = min(longest, max(2 * self._buffer.prebuffer, self._format.frames(LENGTHENED_S)))
            self._stable = 0
        elif self._stable > self._format.frames(STABLE_S) and self._buffer.prebuffer > self._min_prebuffer:
            self._buffer.prebuffer = max(self._min_prebuffer, self._buffer.prebuffer // 2)
            self._stable = 0

    def _mix(self, out: Pcm, sounds: deque[Pcm], reply_gain: float) -> None:
        """Give the reply its gain, and add sounds, one after the other without a gap."""
        if self._reply_gain != reply_gain or reply_gain != 1.0:
            self._turn_reply(out, reply_gain)
        at = 0
        while at < len(out):
            if not len(self._sound):
                if not sounds:
                    return
                self._sound = sounds.popleft()
            count = min(len(out) - at, len(self._sound))
            both = out[at : at + count].astype(np.int32) + self._sound[:count]
            out[at : at + count] = np.clip(both, -32768, 32767)
            self._sound = self._sound[count:]
            self._sounds_taken += count
            at += count

    def _turn_reply(self, out: Pcm, to: float) -> None:
        """Move the reply's gain to ``to`` linearly."""
        before = self._reply_gain
        steps = np.arange(1, len(out) + 1, dtype=np.float32) * ((1 - DUCKED) / self._format.frames(DUCK_S))
        ramp = np.maximum(before - steps, to) if to < before else np.minimum(before + steps, to)
        out[:] = np.rint(out * ramp)
        if len(ramp):
            self._reply_gain = float(ramp[-1])

    def _amplify(self, out: Pcm, gain: float) -> None:
        before = self._applied_gain
        if before == gain == 1.0:
            return
        out[:] = np.rint(out * np.linspace(before, gain, len(out), dtype=np.float32))
        self._applied_gain = gain

    def _report(self, taken: Taken, audible_at: Seconds) -> None:
        while len(self._stretches) > 1 and self._stretches[1].at <= taken.start:
            self._stretches.popleft()
        start = self._mixer_position(taken.start)
        count = self._mixer_position(taken.start + taken.count) - start
        self._on_played(PlayedPeriod(audible_at, start, count, taken.edge))

    def _mixer_position(self, at: int) -> int:
        """Return the mixer's position for a buffer position within the oldest stretch."""
        if not self._stretches:
            return 0
        stretch = self._stretches[0]
        if stretch.ends is not None and at >= stretch.ends[0]:
            return stretch.ends[1]
        return stretch.queued + round((at - stretch.at) * REPLY.rate_hz / self._format.rate_hz)
