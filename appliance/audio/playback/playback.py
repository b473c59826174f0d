"""Plays replies on the loop's side: decides what may be played, and knows what was heard.

Keeps every reply until it has been heard, so that losing a speaker costs a pause and no word; drops stale epochs; gives
the mixer its samples a little ahead; reports when a reply becomes audible or silent. `PlayoutPosition` computes what
was heard; a `Mixer` plays.
"""

import asyncio
from collections import deque
from contextlib import suppress
from dataclasses import replace
from typing import Final

import numpy as np

from appliance.audio.playback.position import PlayoutPosition, Reply
from appliance.audio.playback.reports import PlaybackCounts, Reports
from appliance.audio.ports import MAX_AHEAD_S, Edge, Mixer, PlayedPeriod
from appliance.audio.ring import SampleRing
from appliance.clock import loop_time
from appliance.units import REPLY, Epoch, Pcm, Seconds

_AHEAD: Final = REPLY.frames(MAX_AHEAD_S)
_PIECE: Final = REPLY.frames(0.2)
"""Samples that the mixer is given at once; fewer only at the end of a reply."""
REPEATED_S: Final = 0.2
"""Part of a reply that is repeated after a pause, as it may not have been understood."""
RISE_S: Final = 0.05
"""Time in which a reply reaches its full volume after a pause."""
_REPEATED: Final = REPLY.frames(REPEATED_S)
_RISE: Final = REPLY.frames(RISE_S)
_NEVER: Final = Seconds(float("inf"))


class Playback:
    """Plays one reply after another on the connected mixer; implements `ports.PlaybackSink`.

    All methods belong to the loop's thread, and `write` to one task at a time. Samples not heard yet are bounded by
    ``ring_s``, 5 or more; when that is full, `write` waits, which is counted. Everything is heard ``extra_delay_s``
    later than the speaker says. Epochs grow, and begin at 1.
    """

    def __init__(
        self,
        reports: Reports | None = None,
        *,
        ring_s: float = 120.0,
        stall_s: float = 6.0,
        volume: float = 1.0,
        extra_delay_s: float = 0.0,
    ) -> None:
        self._reports = reports or Reports()
        self._longest = REPLY.frames(ring_s)
        self._buffer = SampleRing(self._longest + _REPEATED)
        self._stall_s = stall_s
        self._volume = volume
        self._extra_delay_s = extra_delay_s
        self._position = PlayoutPosition()
        self._changed = asyncio.Event()
        self._room = asyncio.Event()
        self.alive_at: Seconds | None = None
        """Newest sign of life of the speaker; None while there is none."""
        self.counts = PlaybackCounts()
        # Replies
        self._oldest = Epoch(1)
        self._open: Reply | None = None
        self._ending: list[Reply] = []
        self._starting: list[Reply] = []
        self._stalled: Reply | None = None
        self._received_at = Seconds(0.0)
        self._idle_at = Seconds(0.0)
        self._silent_at = _NEVER
        self._flushing = False
        self._ducked = False
        self._paused = False
        self._rises_at = -_RISE
        """Position in the buffer from which the volume rises after a pause."""
        # The mixer: ``_queued``, ``_played_to`` and ``_flushed_to`` are its positions, ``_next`` is the buffer's.
        self._mixer: Mixer | None = None
        self._queued = 0
        self._played_to = 0
        self._flushed_to = 0
        self._anchors: deque[tuple[int, int]] = deque()
        """Positions of the mixer, with the positions of the buffer that they stand for; ascending."""
        self._next = 0

    # Called by the conversation and the link.

    async def write(self, epoch: Epoch, pcm: bytes | Pcm) -> None:
        """Add whole samples, 24 kHz mono s16le, to a reply; wait while there is no room.

        Audio of a reply that was flushed or finished, or that is older than one seen, is dropped and counted.
        """
        samples = np.frombuffer(pcm, "<i2") if isinstance(pcm, bytes) else pcm
        reply = self._admit(epoch)
        while reply is not None and reply is self._open:
            samples = samples[self._append(reply, samples) :]
            if not len(samples):
                return
            self.counts.waits += 1
            self._room.clear()
            await self._room.wait()
        self.counts.dropped += len(samples)

    def finish(self, epoch: Epoch) -> None:
        """Mark a reply as finished: the rest of it is played, then reported as drained."""
        reply = self._admit(epoch)
        if reply is not None:
            self._close(reply)

    def await_more(self) -> None:
        """Count the time until an unfinished reply is stalled from now."""
        self._stalled, self._received_at = None, loop_time()
        self._changed.set()

    def flush(self) -> None:
        """Silence everything within one period and a fade; all replies so far are stale from now on.

        The device's buffer and the fade add to what is heard until `Reports.on_silent`.
        """
        self._fall_silent()
        self._paused = False
        if self._open is not None:
            self._oldest = Epoch(self._open.epoch + 1)
        self._open = None
        self._ending = []
        self._starting = [reply for reply in self._starting if reply.audible_at is not None]
        self.counts.flushes += 1
        self._next = self._buffer.end
        self._anchor()
        self._room.set()
        self._changed.set()

    def duck(self) -> None:
        """Turn replies down, not sounds, until `resume` or `flush`."""
        self._ducked = True
        if self._mixer is not None:
            self._mixer.duck(ducked=True)

    def pause(self) -> None:
        """Fall silent as `flush` does, but keep what was not heard, until `resume` or `flush`.

        Meanwhile no reply stalls; one that was heard to its end is reported as drained.
        """
        if not self._paused:
            self._fall_silent()
            self._paused = True
            self.counts.pauses += 1
            self._changed.set()

    def resume(self) -> None:
        """Play replies at their full volume again; after a pause, repeat the last `REPEATED_S` before it."""
        if self._paused:
            self._paused = False
            self._next = self._first_unheard(_REPEATED)
            self._rises_at = self._next if self._next < self._buffer.end else -_RISE
            self._idle_at = loop_time()
            self._anchor()
            self._feed()
            self._changed.set()
        if self._mixer is not None:
            self._mixer.duck(ducked=False)
        self._ducked = False

    def play(self, sound: Pcm) -> None:
        """Play a sound, 24 kHz mono, over a reply or alone, after the sounds before it."""
        if self._mixer is None:
            self.counts.sounds_dropped += 1
        else:
            self._mixer.play_sound(sound)

    def set_volume(self, gain: float) -> None:
        """Multiply everything that is played by ``gain``, 0 to 1, from the next period on; that one is a ramp."""
        self._volume = gain
        if self._mixer is not None:
            self._mixer.set_gain(gain)

    def heard(self, epoch: Epoch, now: Seconds) -> int:
        """Return how many samples of a reply have been heard at ``now``, which never goes back."""
        return self._position.heard(epoch, now)

    async def run(self) -> None:
        """Report until cancelled."""
        while True:
            self._changed.clear()
            now = loop_time()
            due = min(
                self._report_audible(now),
                self._report_drained(now),
                self._report_silent(now),
                self._report_stalled(now),
            )
            with suppress(TimeoutError):
                async with asyncio.timeout_at(due if due < _NEVER else None):
                    await self._changed.wait()

    # Called by the speaker: see `ports.PlaybackSink`.

    def connect(self, mixer: Mixer, audible_at: Seconds) -> None:
        """Play on this mixer from now on, from the first sample that was not heard."""
        audible_at = Seconds(audible_at + self._extra_delay_s)
        self._mixer = mixer
        self._queued = self._played_to = self._flushed_to = 0
        self._anchors.clear()
        self._anchor()
        mixer.set_gain(self._volume)
        if self._ducked:
            mixer.duck(ducked=True)
        self.alive_at = loop_time()
        self._received_at = max(self.alive_at, audible_at)  # a reply cannot stall before it can be heard
        if any(reply.played for reply in self._unfinished()):
            self.counts.resumed += 1
        self._feed()
        self._changed.set()
        self._reports.on_connected(audible_at)

    def played(self, period: PlayedPeriod) -> None:
        """Account for a period that the mixer has played."""
        now = loop_time()
        while len(self._anchors) > 1 and self._anchors[1][0] <= period.start:
            self._anchors.popleft()
        mixer_at, buffer_at = self._anchors[0]
        self._played_to = max(self._played_to, period.start + period.count)
        audible_at = Seconds(period.audible_at + self._extra_delay_s)
        period = replace(period, start=buffer_at + period.start - mixer_at, audible_at=audible_at)
        self._position.played(period, now)
        if period.count:
            self._reports.on_played(audible_at, self._buffer.read(period.start, period.count))
        self.counts.played += period.count
        self._idle_at = _NEVER if period.edge in {Edge.NONE, Edge.STARTED} else period.silent_at
        if period.edge is Edge.UNDERRUN:
            self.counts.underruns += 1
        elif period.edge is Edge.FLUSHED:
            self._flushing = False
            self._played_to = self._flushed_to
            self._silent_at = period.silent_at
        self._feed()
        self._room.set()
        if period.edge is not Edge.NONE:
            self._changed.set()

    def heartbeat(self) -> None:
        """Note that the speaker is alive."""
        self.alive_at = loop_time()

    def disconnect(self) -> None:
        """Go back to the first sample that was not heard: the mixer is gone."""
        now = loop_time()
        self._mixer = self.alive_at = None
        self._position.forget_unheard(now)
        self._next = self._first_unheard()
        self._rises_at = -_RISE  # what was not heard may begin before the place of the rise
        self._starting = [
            reply for reply in self._starting if reply.audible_at is not None or reply in self._unfinished()
        ]
        self._idle_at = now
        if self._flushing:
            self._flushing = False
            self._silent_at = now
        self._changed.set()

    # Replies

    def _unfinished(self) -> list[Reply]:
        """Return the replies that are not heard to their end, the one being played first."""
        return [*self._ending, self._open] if self._open else list(self._ending)

    def _first_unheard(self, back: int = 0) -> int:
        """Return the first position that was not played, ``back`` samples earlier if its reply began before."""
        for reply in self._unfinished():
            if reply.played < reply.received:
                return reply.begin + max(0, reply.played - back)
        return self._buffer.end

    def _admit(self, epoch: Epoch) -> Reply | None:
        """Return the reply that may grow under this epoch, begun if it is new; None if it is stale."""
        if epoch < self._oldest:
            return None
        if self._open is None or epoch > self._open.epoch:
            if self._open is not None:
                self._close(self._open)
            self._oldest = epoch
            self._open = self._position.open(epoch, self._buffer.end)
            self._changed.set()
        return self._open

    def _close(self, reply: Reply) -> None:
        reply.finished = True
        self._oldest = Epoch(reply.epoch + 1)
        self._open = None
        self._ending.append(reply)
        if self._mixer is not None and not self._paused and reply.received and self._next == reply.end:
            self._mixer.complete()
        self._changed.set()

    def _append(self, reply: Reply, samples: Pcm) -> int:
        """Store as much as there is room for, and feed the mixer; return how much was stored."""
        now, oldest = loop_time(), self._unfinished()[0]
        unheard = self._buffer.end - oldest.begin - self._position.heard_of(oldest, now)
        count = min(len(samples), self._longest - unheard)
        if not count:
            return 0
        self._buffer.append(samples[:count])
        if not reply.received:
            self._starting.append(reply)
        reply.end += count
        self._received_at = now
        if self._stalled is not None:
            self._stalled = None
            self._changed.set()
        self._feed()
        return count

    # The mixer

    def _fall_silent(self) -> None:
        """Flush the mixer."""
        if self._mixer is None:
            self._silent_at = loop_time()
        else:
            self._mixer.flush()
            self._flushing = True
        self._flushed_to = self._queued
        self._ducked = False

    def _anchor(self) -> None:
        """Note that the samples the mixer gets next are the buffer's from ``_next`` on."""
        while self._anchors and self._anchors[-1][0] == self._queued:
            self._anchors.pop()
        self._anchors.append((self._queued, self._next))

    def _feed(self) -> None:
        """Give the mixer as much as it may have, in pieces that are worth a message."""
        for reply in self._unfinished():
            while self._mixer is not None and not self._paused and reply.begin <= self._next < reply.end:
                count = min(_PIECE, reply.end - self._next)
                if self._played_to + _AHEAD - self._queued < count:
                    return
                self._mixer.queue(self._risen(self._buffer.read(self._next, count), self._next))
                self._queued += count
                self._next += count
                if self._next == reply.end and reply.finished:
                    self._mixer.complete()

    def _risen(self, samples: Pcm, begin: int) -> Pcm:
        """Return samples from position ``begin`` on, with the rise of the volume after a pause."""
        if begin - self._rises_at >= _RISE:
            return samples
        gain = (np.arange(len(samples), dtype=np.float32) + (begin - self._rises_at)) / _RISE
        return np.rint(samples * np.minimum(gain, 1.0)).astype(np.int16)

    # Each reports what is due, and returns when it wants to be asked again.

    def _report_audible(self, now: Seconds) -> Seconds:
        for reply in tuple(self._starting):
            if reply.audible_at is None:
                break
            if reply.audible_at > now:
                return reply.audible_at
            self._starting.remove(reply)
            self._reports.on_audible(reply.epoch, reply.audible_at)
        return _NEVER

    def _report_drained(self, now: Seconds) -> Seconds:
        for reply in tuple(self._ending):
            if reply.played < reply.received:
                break
            if reply.silent_at is not None and reply.silent_at > now:
                return reply.silent_at
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
        if self._open is None or self._open is self._stalled or self._mixer is None or self._paused:
            return _NEVER
        due = Seconds(max(self._received_at, self._idle_at) + self._stall_s)
        if due <= now:
            self._stalled = self._open
            self._reports.on_stalled(self._open.epoch)
            return _NEVER
        return due
