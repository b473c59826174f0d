"""What plays: the real-time half of playback, in the audio worker or in this process.

Responsible for the card's rate, for silence at once after a cut, for sounds over a reply, for volume, and for waiting
longer before it plays where a reply has run dry. One thread gives it samples (`ports.Deck`), another one pulls them;
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
from appliance.audio.ports import DECK_S, Edge, PlayedPeriod
from appliance.audio.resample import Resampler
from appliance.units import REPLY, AudioFormat, Hz, Pcm, Seconds

SOUNDS_S: Final = 30.0
"""The most of sounds that waits to be played; a sound beyond that is dropped and counted."""
DUCKED: Final = 0.32
"""Gain of a reply while a sound is played over it (-10 dB)."""
DUCK_S: Final = 0.02
"""How long the reply takes to get there, and back."""
MOST_PREBUFFER_S: Final = 0.48
CALM_S: Final = 60.0
"""After so much that was played without running dry, the prebuffer is halved again."""
_RING_S: Final = 3 * DECK_S
"""What a cut has made stale is in it until the thread that pulls has seen the cut."""
_SILENCE: Final[Pcm] = np.zeros(0, np.int16)


@dataclass(frozen=True, slots=True)
class MixerCounts:
    """Since the deck was made."""

    underruns: int
    """Times that a reply ran dry before its end."""
    dropped: int
    """Samples that were more than `ports.DECK_S` ahead, and found no room; at the card's rate."""
    sounds_dropped: int
    prebuffer_s: float
    """What is waited for now before a reply is played."""


@dataclass(slots=True)
class _Stretch:
    """Part of the ring that holds one reply: ring position ``at`` is position ``given`` of what the deck was given."""

    at: int
    given: int
    ends: tuple[int, int] | None = None
    """Both positions of its end, once the reply is complete."""


class RingMixer:
    """Implements `ports.Deck`; `pull` is for the speaker."""

    def __init__(
        self, on_pulled: Callable[[PlayedPeriod], None], rate_hz: Hz = REPLY.rate_hz, prebuffer_s: float = 0.06
    ) -> None:
        """``on_pulled`` is called on the thread that pulls, once a period with reply audio, and where a cut acts."""
        self._on_pulled = on_pulled
        self._format = AudioFormat(rate_hz)
        self._fade = Fade(rate_hz)
        self._least_prebuffer = self._format.frames(prebuffer_s)
        self._ring = JitterBuffer(self._format.frames(_RING_S), self._least_prebuffer, self._fade)
        self._ring.skip_stale()  # the first reply may be one that goes on in the middle of a word: it is faded in
        # Of the thread that gives:
        self._resampler: Resampler | None = None
        self._given = 0
        self._dropped = 0
        self._sounds_dropped = 0
        self._sounds_given = 0
        # Written by the thread that gives, read by the one that pulls:
        self._stretches: deque[_Stretch] = deque()  # consumed by the one that pulls
        self._since: tuple[int, deque[Pcm]] = (0, deque())
        """Number of the newest cut, and the sounds since it."""
        self._gain = 1.0
        # Of the thread that pulls:
        self._cut = 0
        self._fade_done = 0
        self._sound = _SILENCE
        self._sounds_taken = 0
        self._applied_gain = 1.0
        self._duck = 1.0
        self._calm = 0

    @property
    def counts(self) -> MixerCounts:
        """Return the counters; any thread."""
        prebuffer_s = self._format.duration(self._ring.prebuffer)
        return MixerCounts(self._ring.underruns, self._dropped, self._sounds_dropped, prebuffer_s)

    # What is given.

    def load(self, samples: Pcm) -> None:
        """See `ports.Deck`."""
        if self._resampler is None:
            self._resampler = Resampler(REPLY, self._format.rate_hz)
            self._stretches.append(_Stretch(self._ring.written, self._given))
        self._given += len(samples)
        self._write(self._resampler.feed(samples))

    def complete(self) -> None:
        """See `ports.Deck`."""
        if self._resampler is None:
            return
        self._write(self._resampler.finish())
        self._resampler = None
        self._stretches[-1].ends = (self._ring.written, self._given)
        self._ring.complete()

    def cut(self) -> None:
        """See `ports.Deck`."""
        self._resampler = None
        self._ring.cut()
        self._sounds_given = self._sounds_taken
        self._since = (self._since[0] + 1, deque())  # last: who sees it sees the rest

    def sound(self, samples: Pcm) -> None:
        """See `ports.Deck`."""
        converter = Resampler(REPLY, self._format.rate_hz)
        converted = np.concatenate((converter.feed(samples), converter.finish()))
        if self._sounds_given - self._sounds_taken + len(converted) > self._format.frames(SOUNDS_S):
            self._sounds_dropped += 1
            return
        self._sounds_given += len(converted)
        self._since[1].append(converted)

    def set_gain(self, gain: float) -> None:
        """See `ports.Deck`."""
        self._gain = gain

    def _write(self, samples: Pcm) -> None:
        self._dropped += len(samples) - self._ring.write(samples)

    # What is pulled.

    def pull(self, frames: int, audible_at: Seconds) -> Pcm:
        """Return the next ``frames`` samples, mono at the card's rate, zeros where there is nothing to play.

        ``audible_at`` is when the first of them reaches the ear.
        """
        out: Pcm = np.zeros(frames, np.int16)
        # What is given after a cut is not reached in the period that has not yet seen the cut.
        limit = self._ring.written
        cuts, sounds = self._since
        gain = self._gain
        if not self._ring.playing and not len(self._sound):
            self._applied_gain = gain  # what begins has no gain to come from
        if cuts != self._cut:
            taken: Taken | None = self._silence(out, cuts)
        else:
            taken = self._ring.take(out, limit)
            self._adapt(taken)
            if taken is None and not sounds and not len(self._sound):
                self._duck = 1.0  # it changes unheard
                return out  # most periods are such
            self._mix(out, sounds)
        self._amplify(out, gain)
        if taken is not None:
            self._report(taken, audible_at)
        return out

    def _silence(self, out: Pcm, cuts: int) -> Taken:
        sounding = self._ring.playing or len(self._sound) > 0
        head = out[: self._fade.length - self._fade_done] if sounding else out[:0]
        taken = self._ring.take_stale(head)
        self._mix(head, deque())
        self._fade.fall(head, self._fade_done)
        self._fade_done += len(head)
        if sounding and self._fade_done < self._fade.length:
            return taken
        self._ring.skip_stale()
        self._sound = _SILENCE
        self._duck = 1.0
        self._fade_done = 0
        self._cut = cuts
        return Taken(taken.start, taken.count, Edge.FLUSHED)

    def _adapt(self, taken: Taken | None) -> None:
        """Wait longer after a reply ran dry, and less when that was long ago."""
        if taken is None:
            return
        most = max(self._least_prebuffer, self._format.frames(MOST_PREBUFFER_S))
        self._calm += taken.count
        if taken.edge is Edge.DRY:
            self._ring.prebuffer = min(most, max(2 * self._ring.prebuffer, self._format.frames(DUCK_S)))
            self._calm = 0
        elif self._calm > self._format.frames(CALM_S) and self._ring.prebuffer > self._least_prebuffer:
            self._ring.prebuffer = max(self._least_prebuffer, self._ring.prebuffer // 2)
            self._calm = 0

    def _mix(self, out: Pcm, sounds: deque[Pcm]) -> None:
        """Add sounds, one after the other without a gap, to a reply that is turned down meanwhile."""
        ducked = DUCKED if sounds or len(self._sound) else 1.0
        if self._duck != ducked or ducked != 1.0:
            self._turn(out, ducked)
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

    def _turn(self, out: Pcm, to: float) -> None:
        """Bring the reply's gain to ``to`` at a steady pace."""
        steps = np.arange(1, len(out) + 1, dtype=np.float32) * ((1 - DUCKED) / self._format.frames(DUCK_S))
        ramp = np.maximum(self._duck - steps, to) if to < self._duck else np.minimum(self._duck + steps, to)
        out[:] = np.rint(out * ramp)
        if len(ramp):
            self._duck = float(ramp[-1])

    def _amplify(self, out: Pcm, gain: float) -> None:
        before = self._applied_gain
        if before == gain == 1.0:
            return
        out[:] = np.rint(out * np.linspace(before, gain, len(out), dtype=np.float32))
        self._applied_gain = gain

    def _report(self, taken: Taken, audible_at: Seconds) -> None:
        while len(self._stretches) > 1 and self._stretches[1].at <= taken.start:
            self._stretches.popleft()
        start = self._given_at(taken.start)
        count = self._given_at(taken.start + taken.count) - start
        self._on_pulled(PlayedPeriod(audible_at, start, count, taken.edge))

    def _given_at(self, at: int) -> int:
        """Return where in what was given a ring position of the oldest stretch lies."""
        if not self._stretches:
            return 0
        stretch = self._stretches[0]
        if stretch.ends is not None and at >= stretch.ends[0]:
            return stretch.ends[1]
        return stretch.given + round((at - stretch.at) * REPLY.rate_hz / self._format.rate_hz)
