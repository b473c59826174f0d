"""The way of a reply from the link to the ear, on the loop's side: what may be played, and what was heard.

Responsible for keeping every reply until it has been heard, so that a speaker that is lost costs a pause and no word;
for epochs; for giving the deck what it plays, a little ahead; and for telling when something becomes audible or
silent. The samples lie in a `store.Store`; `heard.Ledger` knows what was heard; `deck.RingDeck` plays.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from appliance.audio.playback.position import HeardExtent, PlayoutPosition, Reply
from appliance.audio.playback.reply_buffer import ReplyBuffer
from appliance.audio.ports import DECK_S, Edge, Mixer, PlayedPeriod
from appliance.units import REPLY, Epoch, Pcm, Seconds

_AHEAD: Final = REPLY.frames(DECK_S)
_PIECE: Final = REPLY.frames(0.2)
"""Of a reply, the most that the deck is given at once; less only where there is no more."""
_NEVER: Final = Seconds(float("inf"))


def _unheeded(*_: object) -> None:
    """Ignore a report."""


@dataclass(frozen=True, slots=True)
class Reports:
    """What is told on the loop's thread, when its moment has come."""

    on_audible: Callable[[Epoch, Seconds], None] = _unheeded
    """The first sample of a reply was heard, at this moment."""
    on_played: Callable[[Seconds, Pcm], None] = _unheeded
    """These samples of a reply, 24 kHz mono before the volume, are heard from this moment on; told ahead of it."""
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
    """Of replies, taken by a deck; what a lost deck had taken and was not heard counts again."""
    dropped: int
    """Of replies, refused as stale; not those that a flush removed."""
    underruns: int
    """Times that a reply ran dry before its end."""
    flushes: int
    waits: int
    """Periods for which `write` waited, because ``ring_s`` was full."""
    sounds_dropped: int
    """Sounds that came while there was no deck."""
    resumed: int
    """Times that a reply went on with another deck."""


class Playback:
    """Plays one reply after another on whatever deck there is; implements `ports.Plays`.

    All methods belong to the loop's thread, and `write` to one task at a time. What was not heard yet is bounded by
    ``ring_s``, 5 or more; when that is full, `write` waits, which is counted. Epochs grow, and begin at 1.
    """

    def __init__(
        self, reports: Reports | None = None, *, ring_s: float = 120.0, stall_s: float = 6.0, volume: float = 1.0
    ) -> None:
        self._reports = reports or Reports()
        self._store = ReplyBuffer(REPLY.frames(ring_s))
        self._stall_s = stall_s
        self._volume = volume
        self._ledger = PlayoutPosition()
        self._edge = asyncio.Event()
        self._space = asyncio.Event()
        # Replies
        self._oldest = Epoch(1)
        self._open: Reply | None = None
        self._ending: list[Reply] = []
        self._beginning: list[Reply] = []
        self._stalled: Reply | None = None
        self._fed_at = Seconds(0.0)
        self._dry_at = Seconds(0.0)
        self._silent_at = _NEVER
        self._flushing = False
        # The deck: ``_given``, ``_pulled`` and ``_cut`` are its own positions, ``_sent`` is the store's.
        self._deck: Mixer | None = None
        self._given = 0
        self._pulled = 0
        self._cut = 0
        self._anchors: deque[tuple[int, int]] = deque()
        """Position of the deck, and the position of the store that it stands for; grow."""
        self._sent = 0
        # Counts
        self._played = 0
        self._dropped = 0
        self._underruns = 0
        self._flushes = 0
        self._waits = 0
        self._sounds_dropped = 0
        self._resumed = 0

    # What comes from the conversation and the link.

    async def write(self, epoch: Epoch, pcm: bytes | Pcm) -> None:
        """Add whole samples, 24 kHz mono s16le, to a reply; wait while there is no room.

        Audio of a reply that was flushed or finished, or that is older than one seen, is dropped and counted.
        """
        samples = np.frombuffer(pcm, "<i2") if isinstance(pcm, bytes) else pcm
        reply = self._admit(epoch)
        while reply is not None and reply is self._open:
            samples = samples[self._keep(reply, samples) :]
            if not len(samples):
                return
            self._waits += 1
            self._space.clear()
            await self._space.wait()
        self._dropped += len(samples)

    def finish(self, epoch: Epoch) -> None:
        """Tell that no more audio comes for a reply: what there is of it is played, then reported as drained."""
        reply = self._admit(epoch)
        if reply is not None:
            self._close(reply)

    def await_more(self) -> None:
        """Count the time in which a reply has to go on from now."""
        self._stalled, self._fed_at = None, self._now()
        self._edge.set()

    def flush(self) -> HeardExtent:
        """Silence everything within one period and a fade; all replies so far are stale from now on.

        Returns how far the reply that was playing has been heard by now; what the device holds, and the fade, add to
        that until `Reports.on_silent`.
        """
        if self._deck is not None:  # first: all else can wait
            self._deck.cut()
        now, live = self._now(), self._live()
        heard = self._ledger.heard(live[0].epoch, now) if live else HeardExtent(Epoch(0), 0, 0)
        if self._open is not None:
            self._oldest = Epoch(self._open.epoch + 1)
        self._open = None
        self._ending = []
        self._beginning = [reply for reply in self._beginning if reply.audible_at is not None]
        self._flushes += 1
        self._sent = self._store.written
        self._cut = self._given
        self._anchor()
        self._flushing = self._deck is not None
        if not self._flushing:
            self._silent_at = now
        self._space.set()
        self._edge.set()
        return heard

    def play(self, sound: Pcm) -> None:
        """Play a sound, 24 kHz mono, over a reply or alone, after the sounds before it."""
        if self._deck is None:
            self._sounds_dropped += 1
        else:
            self._deck.sound(sound)

    def set_volume(self, gain: float) -> None:
        """Multiply everything that is played by ``gain``, 0 to 1, from the next period on; that one is a ramp."""
        self._volume = gain
        if self._deck is not None:
            self._deck.set_gain(gain)

    def heard(self, epoch: Epoch, now: Seconds) -> int:
        """Return how many samples of a reply have been heard at ``now``, which never goes back."""
        return self._ledger.heard(epoch, now).samples

    @property
    def counts(self) -> PlaybackCounts:
        """Return the counters."""
        return PlaybackCounts(
            played=self._played,
            dropped=self._dropped,
            underruns=self._underruns,
            flushes=self._flushes,
            waits=self._waits,
            sounds_dropped=self._sounds_dropped,
            resumed=self._resumed,
        )

    async def run(self) -> None:
        """Report until cancelled; woken where sound begins or ends, and where something falls due."""
        while True:
            self._edge.clear()
            now = self._now()
            due = min(
                self._report_begun(now), self._report_drained(now), self._report_silent(now), self._report_stalled(now)
            )
            with suppress(TimeoutError):
                async with asyncio.timeout_at(due if due < _NEVER else None):
                    await self._edge.wait()

    # What comes from the speaker: see `ports.Plays`.

    def connect(self, deck: Mixer, audible_at: Seconds) -> None:
        """Play on this deck from now on, from the first sample that was not heard."""
        self._deck = deck
        self._given = self._pulled = self._cut = 0
        self._anchors.clear()
        self._anchor()
        deck.set_gain(self._volume)
        self._fed_at = max(self._now(), audible_at)  # a reply cannot stall before it can be heard
        if any(reply.taken for reply in self._live()):
            self._resumed += 1
        self._feed()
        self._edge.set()

    def pulled(self, pulled: PlayedPeriod) -> None:
        """Account for a period that the deck has played."""
        now = self._now()
        while len(self._anchors) > 1 and self._anchors[1][0] <= pulled.start:
            self._anchors.popleft()
        deck_at, store_at = self._anchors[0]
        start = store_at + pulled.start - deck_at
        self._ledger.note(replace(pulled, start=start), now)
        if pulled.count:
            self._reports.on_played(pulled.audible_at, self._store.read(start, pulled.count))
        self._played += pulled.count
        self._pulled = max(self._pulled, pulled.start + pulled.count)
        self._dry_at = _NEVER if pulled.edge in {Edge.NONE, Edge.STARTED} else pulled.silent_at
        if pulled.edge is Edge.DRY:
            self._underruns += 1
        elif pulled.edge is Edge.FLUSHED:
            self._flushing = False
            self._pulled = self._cut
            self._silent_at = pulled.silent_at
        self._feed()
        self._space.set()
        if pulled.edge is not Edge.NONE:
            self._edge.set()

    def beat(self) -> None:
        """Nothing here depends on it."""

    def disconnect(self) -> None:
        """The deck is gone: go back to the first sample that was not heard."""
        now = self._now()
        self._deck = None
        self._ledger.forget_unheard(now)
        unheard = [reply.begin + reply.taken for reply in self._live() if reply.taken < reply.received]
        self._sent = unheard[0] if unheard else self._store.written
        self._beginning = [reply for reply in self._beginning if reply.audible_at is not None or reply in self._live()]
        self._dry_at = now
        if self._flushing:
            self._flushing = False
            self._silent_at = now
        self._edge.set()

    # Replies

    def _now(self) -> Seconds:
        return Seconds(asyncio.get_running_loop().time())

    def _live(self) -> list[Reply]:
        """Return the replies that are not heard to their end, the one being played first."""
        return [*self._ending, self._open] if self._open else list(self._ending)

    def _admit(self, epoch: Epoch) -> Reply | None:
        """Return the reply that may grow under this epoch, begun if it is new; None if it is stale."""
        if epoch < self._oldest:
            return None
        if self._open is None or epoch > self._open.epoch:
            if self._open is not None:
                self._close(self._open)
            self._oldest = epoch
            self._open = self._ledger.open(epoch, self._store.written)
            self._edge.set()
        return self._open

    def _close(self, reply: Reply) -> None:
        reply.finished = True
        self._oldest = Epoch(reply.epoch + 1)
        self._open = None
        self._ending.append(reply)
        if self._deck is not None and reply.received and self._sent == reply.end:
            self._deck.complete()
        self._edge.set()

    def _keep(self, reply: Reply, samples: Pcm) -> int:
        """Store as much as there is room for, and give the deck what it may have; return how much was stored."""
        now, live = self._now(), self._live()
        oldest = live[0].begin + self._ledger.heard_of(live[0], now) if live else self._store.written
        count = self._store.append(samples, oldest)
        if not count:
            return 0
        if not reply.received:
            self._beginning.append(reply)
        reply.end += count
        self._fed_at = now
        if self._stalled is not None:
            self._stalled = None
            self._edge.set()
        self._feed()
        return count

    # The deck

    def _anchor(self) -> None:
        """Note that what the deck is given next is the store's from ``_sent`` on."""
        while self._anchors and self._anchors[-1][0] == self._given:
            self._anchors.pop()
        self._anchors.append((self._given, self._sent))

    def _feed(self) -> None:
        """Give the deck what it may have, in pieces worth their while."""
        for reply in self._live():
            while self._deck is not None and reply.begin <= self._sent < reply.end:
                rest, room = reply.end - self._sent, self._pulled + _AHEAD - self._given
                if room < min(_PIECE, rest):
                    return
                count = min(_PIECE, rest)
                self._deck.load(self._store.read(self._sent, count))
                self._given += count
                self._sent += count
                if self._sent == reply.end and reply.finished:
                    self._deck.complete()

    # What is reported; each returns when it wants to be asked again.

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
        if self._open is None or self._open is self._stalled or self._deck is None:
            return _NEVER
        due = Seconds(max(self._fed_at, self._dry_at) + self._stall_s)
        if due <= now:
            self._stalled = self._open
            self._reports.on_stalled(self._open.epoch)
            return _NEVER
        return due
