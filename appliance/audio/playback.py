"""The way of a reply from the link to the speaker: written on the loop, pulled by the speaker's own thread.

Responsible for what may be played (epochs), for silence at once when it is flushed, for short sounds and volume, and
for telling the loop what has become audible. The samples lie in a `ReplyRing`; `heard.Ledger` knows what was heard.
`pull` takes no lock and knows asyncio only as a loop to wake: where sound begins or ends, and now and then between.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import numpy as np

from appliance.audio.heard import Heard, Ledger, Pulled, Reply
from appliance.audio.replyring import FADE, Edge, ReplyRing, Taken, fade_out
from appliance.units import REPLY, Epoch, Pcm, Seconds

SOUNDS: Final = 8
"""The most sounds that wait to be played; one more is dropped and counted."""
_JOURNAL: Final = 1024
"""Periods that the loop may be late to account for (10 s at 10 ms); an older one is lost to `heard`, and counted."""
_COLLECT: Final = 64
"""Periods after which the loop is woken to account for them, and to write on, in the middle of a reply."""
_SILENCE: Final[Pcm] = np.zeros(0, np.int16)
_NEVER: Final = Seconds(float("inf"))


def _unheeded(*_: object) -> None:
    """Ignore a report."""


@dataclass(frozen=True, slots=True)
class Reports:
    """What is told on the loop's thread, when its moment has come."""

    on_audible: Callable[[Epoch, Seconds], None] = _unheeded
    """The first sample of a reply was heard, at this moment."""
    on_drained: Callable[[Epoch], None] = _unheeded
    """The last sample of a finished reply has been heard; told once, and not for a reply that was flushed."""
    on_stalled: Callable[[Epoch], None] = _unheeded
    """A reply that is not finished has had nothing to play for too long; told again only after a write."""
    on_silent: Callable[[Seconds], None] = _unheeded
    """After a flush: the last sample of the reply was heard, at this moment, or the first silence if none played."""


@dataclass(frozen=True, slots=True)
class PlaybackCounts:
    """Since the start; samples where nothing else is said."""

    played: int
    """Of replies, taken by the speaker."""
    dropped: int
    """Of replies, refused as stale; not those that a flush removed from the ring."""
    underruns: int
    """Times that a reply ran dry before its end."""
    flushes: int
    sounds_dropped: int
    """Sounds that found the queue full."""
    unaccounted: int
    """Periods that the loop was too late to account for."""


class Playback:
    """Plays one reply after another; implements `ports.PeriodSource`.

    All methods but `pull` belong to the loop's thread, and `write` to one task at a time. The ring is bounded by
    ``ring_s``, 5 or more; when it is full, `write` waits. Epochs grow, and begin at 1.
    """

    def __init__(
        self,
        reports: Reports | None = None,
        *,
        prebuffer_s: float = 0.06,
        ring_s: float = 60.0,
        stall_s: float = 6.0,
        volume: float = 1.0,
    ) -> None:
        self._reports = reports or Reports()
        self._ring = ReplyRing(REPLY.frames(ring_s), REPLY.frames(prebuffer_s))
        self._stall_s = stall_s
        self._ledger = Ledger()
        # Of the loop's thread:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._edge = asyncio.Event()
        self._space = asyncio.Event()
        self._oldest = Epoch(1)
        self._open: Reply | None = None
        self._beginning: list[Reply] = []
        self._ending: list[Reply] = []
        self._stalled: Reply | None = None
        self._fed_at = Seconds(0.0)
        self._dry_at = Seconds(0.0)
        self._silent_at = _NEVER
        self._dropped = 0
        self._sounds_dropped = 0
        # Written by the loop's thread, read by the speaker's:
        self._flushes = 0
        self._sounds: deque[Pcm] = deque()
        self._volume = volume
        # Of the speaker's thread:
        self._flushed = 0
        self._fade_done = 0
        self._sound = _SILENCE
        self._applied_volume = volume
        self._played = 0
        self._unaccounted = 0
        # From the speaker's thread to the loop's:
        self._journal: deque[Pulled] = deque(maxlen=_JOURNAL)
        self._woken = False

    # What comes from the loop.

    async def write(self, epoch: Epoch, pcm: bytes | Pcm) -> None:
        """Add whole samples, 24 kHz mono s16le, to a reply; wait while the ring is full.

        Audio of a reply that was flushed or finished, or that is older than one seen, is dropped and counted.
        """
        samples = np.frombuffer(pcm, "<i2") if isinstance(pcm, bytes) else pcm
        self._loop = asyncio.get_running_loop()
        reply = self._admit(epoch)
        while reply is not None and reply is self._open:
            samples = samples[self._feed(reply, samples) :]
            if not len(samples):
                return
            self._space.clear()
            await self._space.wait()
        self._dropped += len(samples)

    def finish(self, epoch: Epoch) -> None:
        """Tell that no more audio comes for a reply: what there is of it is played, then reported as drained."""
        reply = self._admit(epoch)
        if reply is not None:
            self._close(reply)

    def flush(self) -> Heard:
        """Silence everything within one period and a fade; all replies so far are stale from now on.

        Returns how far the reply that was playing has been heard by now; what the device holds, and the fade, add to
        that until `Reports.on_silent`.
        """
        live = [*self._ending, self._open] if self._open else self._ending
        now = self._now()
        self._collect(now)
        heard = self._ledger.heard(live[0].epoch, now) if live else Heard(Epoch(0), 0, 0)
        if self._open is not None:
            self._oldest = Epoch(self._open.epoch + 1)
        self._open = None
        self._ending = []
        self._beginning = [reply for reply in self._beginning if reply.audible_at is not None]
        self._ring.cut()
        self._sounds = deque()
        self._flushes += 1  # last: who sees it sees the cut
        self._space.set()
        self._edge.set()
        return heard

    def play(self, sound: Pcm) -> None:
        """Play a sound, 24 kHz mono, over a reply or alone, after the sounds before it; the array is not copied."""
        if len(self._sounds) >= SOUNDS:
            self._sounds_dropped += 1
            return
        self._sounds.append(sound)

    def set_volume(self, gain: float) -> None:
        """Multiply everything that is played by ``gain``, 0 to 1, from the next period on; that one is a ramp."""
        self._volume = gain

    def heard(self, epoch: Epoch, now: Seconds) -> int:
        """Return how many samples of a reply have been heard at ``now``, which never goes back."""
        self._collect(now)
        return self._ledger.heard(epoch, now).samples

    @property
    def counts(self) -> PlaybackCounts:
        """Return the counters."""
        return PlaybackCounts(
            played=self._played,
            dropped=self._dropped,
            underruns=self._ring.underruns,
            flushes=self._flushes,
            sounds_dropped=self._sounds_dropped,
            unaccounted=self._unaccounted,
        )

    async def run(self) -> None:
        """Report until cancelled; woken where sound begins or ends, and where something falls due."""
        self._loop = asyncio.get_running_loop()
        while True:
            self._edge.clear()
            now = self._now()
            self._collect(now)
            due = min(
                self._report_begun(now), self._report_drained(now), self._report_silent(now), self._report_stalled(now)
            )
            with suppress(TimeoutError):
                async with asyncio.timeout_at(due if due < _NEVER else None):
                    await self._edge.wait()

    def _now(self) -> Seconds:
        return Seconds(asyncio.get_running_loop().time())

    def _admit(self, epoch: Epoch) -> Reply | None:
        """Return the reply that may grow under this epoch, begun if it is new; None if it is stale."""
        if epoch < self._oldest:
            return None
        if self._open is None or epoch > self._open.epoch:
            if self._open is not None:
                self._close(self._open)
            self._oldest = epoch
            self._open = self._ledger.open(epoch, self._ring.written)
            self._edge.set()
        return self._open

    def _close(self, reply: Reply) -> None:
        self._ring.complete()
        self._oldest = Epoch(reply.epoch + 1)
        self._open = None
        self._ending.append(reply)
        self._edge.set()

    def _feed(self, reply: Reply, samples: Pcm) -> int:
        count = self._ring.write(samples)
        if count and not reply.received:
            self._beginning.append(reply)
        reply.end += count
        if count:
            self._fed_at = self._now()
        if count and self._stalled is not None:
            self._stalled = None
            self._edge.set()
        return count

    def _on_wake(self) -> None:
        self._woken = False
        self._edge.set()
        self._space.set()

    # What is reported; each returns when it wants to be asked again.

    def _collect(self, now: Seconds) -> None:
        while self._journal:
            pulled = self._journal.popleft()
            self._ledger.note(pulled, now)
            edge = pulled.taken.edge
            self._dry_at = _NEVER if edge in {Edge.NONE, Edge.STARTED} else pulled.silent_at
            if edge is Edge.FLUSHED:
                self._silent_at = pulled.silent_at

    def _report_begun(self, now: Seconds) -> Seconds:
        for reply in tuple(self._beginning):
            if reply.audible_at is None:
                break
            if reply.audible_at > now:
                return reply.audible_at
            self._beginning.remove(reply)
            self._reports.on_audible(reply.epoch, reply.audible_at)
        return _NEVER

    def _report_drained(self, now: Seconds) -> Seconds:
        for reply in tuple(self._ending):
            if reply.taken < reply.received:
                break
            if reply.heard_by is not None and reply.heard_by > now:
                return reply.heard_by
            self._ending.remove(reply)
            self._reports.on_drained(reply.epoch)
        return _NEVER

    def _report_silent(self, now: Seconds) -> Seconds:
        at = self._silent_at
        if at <= now:
            self._silent_at = _NEVER
            self._reports.on_silent(at)
        return self._silent_at

    def _report_stalled(self, now: Seconds) -> Seconds:
        if self._open is None or self._open is self._stalled:
            return _NEVER
        due = Seconds(max(self._fed_at, self._dry_at) + self._stall_s)
        if due <= now:
            self._stalled = self._open
            self._reports.on_stalled(self._open.epoch)
            return _NEVER
        return due

    # What runs on the speaker's thread.

    def pull(self, frames: int, audible_at: Seconds) -> Pcm:
        """Return the next ``frames`` samples, 24 kHz mono: see `ports.PeriodSource`."""
        out: Pcm = np.zeros(frames, np.int16)
        # What is written or queued after a flush is not reached in the period that has not yet seen the flush.
        limit, sounds = self._ring.written, self._sounds
        flushes = self._flushes
        if flushes != self._flushed:
            taken: Taken | None = self._fade(out, flushes)
        else:
            taken = self._ring.take(out, limit)
            self._mix(out, sounds)
        self._amplify(out)
        if taken is not None:
            self._enter(Pulled(audible_at, taken))
        return out

    def _fade(self, out: Pcm, flushes: int) -> Taken:
        sounding = self._ring.playing or len(self._sound) > 0
        head = out[: FADE - self._fade_done] if sounding else out[:0]
        taken = self._ring.take_stale(head)
        self._mix(head, deque())
        fade_out(head, self._fade_done)
        self._fade_done += len(head)
        if sounding and self._fade_done < FADE:
            return taken
        self._ring.skip_stale()
        self._sound = _SILENCE
        self._fade_done = 0
        self._flushed = flushes
        return Taken(taken.start, taken.count, Edge.FLUSHED)

    def _mix(self, out: Pcm, sounds: deque[Pcm]) -> None:
        if not len(self._sound):
            if not sounds:
                return
            self._sound = sounds.popleft()
        count = min(len(out), len(self._sound))
        both = out[:count].astype(np.int32) + self._sound[:count]
        out[:count] = np.clip(both, -32768, 32767)
        self._sound = self._sound[count:]

    def _amplify(self, out: Pcm) -> None:
        before, gain = self._applied_volume, self._volume
        if before == gain == 1.0:
            return
        out[:] = np.rint(out * np.linspace(before, gain, len(out), dtype=np.float32))
        self._applied_volume = gain

    def _enter(self, pulled: Pulled) -> None:
        self._played += pulled.taken.count
        if len(self._journal) == _JOURNAL:
            self._unaccounted += 1
        self._journal.append(pulled)
        if pulled.taken.edge is not Edge.NONE or len(self._journal) >= _COLLECT:
            self._wake()

    def _wake(self) -> None:
        if self._loop is None or self._woken:
            return
        self._woken = True
        with suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(self._on_wake)
