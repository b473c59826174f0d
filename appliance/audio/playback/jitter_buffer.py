"""Reply samples between the thread that queues them and the thread that plays them.

One writer and one reader (the speaker's thread); waits until enough is there to play smoothly, and fades where the
sound would otherwise jump. Knows no time, no epochs and no asyncio. There is no lock: every field is written by one
side only, and published by a single assignment after the samples it refers to are in place.

Positions are those of `SampleRing`.
"""

from collections import deque
from dataclasses import dataclass

from appliance.audio.playback.fade import Fade
from appliance.audio.ports import Edge
from appliance.audio.ring import SampleRing
from appliance.units import Pcm


@dataclass(frozen=True, slots=True)
class Taken:
    """Samples of one reply in one period: ``count`` samples from ``start`` on, at its beginning."""

    start: int
    count: int
    edge: Edge


class JitterBuffer:
    """A buffer of ``capacity`` samples, mono, at any rate.

    Playing begins, and begins again after an underrun, once ``prebuffer`` samples wait or the reply is complete.
    When full, `write` takes less than it is given: nothing is overwritten.
    """

    def __init__(self, capacity: int, prebuffer: int, fade: Fade) -> None:
        self.prebuffer = prebuffer
        """Owned by the reader, who may change it."""
        self._ring = SampleRing(capacity)  # the writer appends, the reader reads
        self._fade = fade
        # Owned by the writer:
        self._completed = 0
        self._flushed = 0
        self._ends: deque[int] = deque()  # appended by the writer, consumed by the reader; no more than samples
        # Owned by the reader:
        self._read = 0
        self._playing = False
        self._faded_in = fade.length
        self._underrun_at = 0
        self._underruns = 0

    # The writer's side.

    def write(self, samples: Pcm) -> int:
        """Append as much as there is room for; return how many samples that was."""
        count = min(len(samples), self.free)
        self._ring.append(samples[:count])
        return count

    def complete(self) -> None:
        """Mark the reply as complete with the samples written so far: it is played without waiting for more."""
        if self._completed < self.written:
            self._completed = self.written
            self._ends.append(self.written)

    def flush(self) -> None:
        """Make everything written so far stale: the reader takes no more than a fade's worth of it."""
        self._flushed = self.written

    # Both sides.

    @property
    def written(self) -> int:
        """Position after the newest sample."""
        return self._ring.end

    @property
    def free(self) -> int:
        """Samples that `write` would take now."""
        return self._ring.capacity - (self.written - self._read)

    @property
    def underruns(self) -> int:
        """Times that the samples ran out although the reply was not complete."""
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
        if not ends and self._underrun_at <= begin and available - len(out) < self._fade.length:
            self._underrun_at = begin + available  # a later fade would be too short
        if self._underrun_at > begin:
            available = self._underrun_at - begin
        count = min(available, len(out))
        self._copy(out[:count])
        edge = Edge.STARTED if resumes else Edge.NONE
        if self._read == self._underrun_at:
            edge = Edge.UNDERRUN
            self._faded_in = 0
            self._underruns += 1
        elif self._read == end:
            edge = Edge.COMPLETE
        self._playing = edge in {Edge.STARTED, Edge.NONE}
        return Taken(begin, count, edge)

    def take_stale(self, out: Pcm) -> Taken:
        """Put the samples that are faded out after a flush into ``out`` (zeros)."""
        begin = self._read
        if not self._playing:
            return Taken(begin, 0, Edge.NONE)
        stop = min(self._next_end() or self._flushed, self._underrun_at if begin < self._underrun_at else self._flushed)
        count = min(len(out), stop - begin)
        self._copy(out[:count])
        self._playing = begin + count < stop
        return Taken(begin, count, Edge.NONE)

    def skip_stale(self) -> None:
        """Skip what was flushed, silently; the next sample is faded in."""
        self._read = max(self._read, self._flushed)
        self._playing = False
        self._faded_in = 0

    def _next_end(self) -> int | None:
        while self._ends and self._ends[0] <= self._read:
            self._ends.popleft()
        return self._ends[0] if self._ends else None

    def _copy(self, out: Pcm) -> None:
        begin = self._read
        out[:] = self._ring.read(begin, len(out))
        if self._faded_in < self._fade.length:
            head = out[: self._fade.length - self._faded_in]
            self._fade.rise(head, self._faded_in)
            self._faded_in += len(head)
        if begin < self._underrun_at:
            falls_from = self._underrun_at - self._fade.length
            tail = out[max(0, falls_from - begin) :]
            self._fade.fall(tail, max(0, begin - falls_from))
        self._read = begin + len(out)
