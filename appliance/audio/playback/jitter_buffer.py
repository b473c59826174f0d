"""The samples of replies between the thread that is given them and the thread that plays them.

Responsible for a ring with one writer and one reader (the speaker's thread), for waiting until enough is there to play
smoothly, and for ramps where the sound would otherwise jump. Knows no time, no epochs and no asyncio. There is no
lock: every field is written by one side only, and published by a single assignment after the samples it speaks of are
in place.

Positions count samples since the ring was made and never go back; position p lies at ``p % capacity``.
"""

from collections import deque
from dataclasses import dataclass

import numpy as np

from appliance.audio.playback.fade import Fade
from appliance.audio.ports import Edge
from appliance.units import Pcm


@dataclass(frozen=True, slots=True)
class Taken:
    """What one period holds of one reply: ``count`` samples from ``start`` on, at its beginning."""

    start: int
    count: int
    edge: Edge


class JitterBuffer:
    """A ring of ``capacity`` samples, mono, at any rate.

    Playing begins, and begins again after running dry, once ``prebuffer`` samples wait or the reply is complete.
    When full, `write` takes less than it is given: nothing is overwritten.
    """

    def __init__(self, capacity: int, prebuffer: int, fade: Fade) -> None:
        self.prebuffer = prebuffer
        """Of the reader, who may change it."""
        self._samples: Pcm = np.zeros(capacity, np.int16)
        self._fade = fade
        # Of the writer:
        self._written = 0
        self._completed = 0
        self._cut = 0
        self._ends: deque[int] = deque()  # appended by the writer, consumed by the reader; no more than samples
        # Of the reader:
        self._read = 0
        self._playing = False
        self._faded_in = fade.length
        self._dry_at = 0
        self._underruns = 0

    # The writer's side.

    def write(self, samples: Pcm) -> int:
        """Append as much as there is room for; return how many samples that was."""
        count = min(len(samples), self.free)
        capacity = len(self._samples)
        at = self._written % capacity
        first = min(count, capacity - at)
        self._samples[at : at + first] = samples[:first]
        self._samples[: count - first] = samples[first:count]
        self._written += count
        return count

    def complete(self) -> None:
        """Tell that what has been written so far is all of its reply: it is played without waiting for more."""
        if self._completed < self._written:
            self._completed = self._written
            self._ends.append(self._written)

    def cut(self) -> None:
        """Make all that has been written so far stale: of it, the reader takes no more than a fade's worth."""
        self._cut = self._written

    # Both sides.

    @property
    def written(self) -> int:
        """Position after the newest sample."""
        return self._written

    @property
    def free(self) -> int:
        """Samples that `write` would take now."""
        return len(self._samples) - (self._written - self._read)

    @property
    def underruns(self) -> int:
        """How often playing ran dry although the reply was not complete."""
        return self._underruns

    # The reader's side.

    @property
    def playing(self) -> bool:
        """Whether the last period ended in the middle of a reply."""
        return self._playing

    def take(self, out: Pcm, limit: int) -> Taken | None:
        """Put the next samples, none at or after position ``limit``, into ``out`` (zeros); return None for silence."""
        begin, end = self._read, self._next_end()
        ends = end is not None and end <= limit
        available = (end if end is not None and ends else limit) - begin
        resumes = not self._playing
        if resumes and not ends and available < max(self.prebuffer, len(out) + self._fade.length):
            return None
        if not ends and self._dry_at <= begin and available - len(out) < self._fade.length:
            self._dry_at = begin + available  # a later fade would be too short
        if self._dry_at > begin:
            available = self._dry_at - begin
        count = min(available, len(out))
        self._copy(out[:count])
        edge = Edge.STARTED if resumes else Edge.NONE
        if self._read == self._dry_at:
            edge = Edge.DRY
            self._faded_in = 0
            self._underruns += 1
        elif self._read == end:
            edge = Edge.COMPLETE
        self._playing = edge in {Edge.STARTED, Edge.NONE}
        return Taken(begin, count, edge)

    def take_stale(self, out: Pcm) -> Taken:
        """Put what goes on playing for a fade after a cut into ``out`` (zeros)."""
        begin = self._read
        if not self._playing:
            return Taken(begin, 0, Edge.NONE)
        stop = min(self._next_end() or self._cut, self._dry_at if begin < self._dry_at else self._cut)
        count = min(len(out), stop - begin)
        self._copy(out[:count])
        self._playing = begin + count < stop
        return Taken(begin, count, Edge.NONE)

    def skip_stale(self) -> None:
        """Go to the cut, silent; what follows begins with a fade."""
        self._read = max(self._read, self._cut)
        self._playing = False
        self._faded_in = 0

    def _next_end(self) -> int | None:
        while self._ends and self._ends[0] <= self._read:
            self._ends.popleft()
        return self._ends[0] if self._ends else None

    def _copy(self, out: Pcm) -> None:
        begin, capacity = self._read, len(self._samples)
        at = begin % capacity
        first = min(len(out), capacity - at)
        out[:first] = self._samples[at : at + first]
        out[first:] = self._samples[: len(out) - first]
        if self._faded_in < self._fade.length:
            head = out[: self._fade.length - self._faded_in]
            self._fade.rise(head, self._faded_in)
            self._faded_in += len(head)
        if begin < self._dry_at:
            falls_from = self._dry_at - self._fade.length
            tail = out[max(0, falls_from - begin) :]
            self._fade.fall(tail, max(0, begin - falls_from))
        self._read = begin + len(out)
