"""A ring of reply samples that keeps what has not been heard. Loop thread only."""

import numpy as np

from appliance.units import Pcm


class ReplyBuffer:
    """Holds the newest samples of a stream, 24 kHz mono, up to ``capacity``; position p lies at ``p % capacity``."""

    def __init__(self, capacity: int) -> None:
        self._samples: Pcm = np.zeros(capacity, np.int16)
        self._written = 0

    @property
    def written(self) -> int:
        """Position after the newest sample; never goes back."""
        return self._written

    def append(self, samples: Pcm, oldest: int) -> int:
        """Append as much as there is room for without touching position ``oldest``; return how many that was."""
        capacity = len(self._samples)
        count = min(len(samples), capacity - (self._written - oldest))
        at = self._written % capacity
        first = min(count, capacity - at)
        self._samples[at : at + first] = samples[:first]
        self._samples[: count - first] = samples[first:count]
        self._written += count
        return count

    def read(self, start: int, count: int) -> Pcm:
        """Return a copy of ``count`` samples from position ``start`` on."""
        index = np.arange(start, start + count) % len(self._samples)
        return self._samples[index]
