"""A ring of samples, addressed by position: under the microphone buffer, the replies and the jitter buffer."""

import numpy as np

from appliance.units import Pcm


class SampleRing:
    """Holds the newest ``capacity`` samples of a mono stream; a newer one overwrites the oldest.

    Positions count samples and never go back; position p lies at ``p % capacity``. One thread may append while another
    one reads what it does not overwrite: `end` grows after the samples are in place.
    """

    def __init__(self, capacity: int) -> None:
        self._samples: Pcm = np.zeros(capacity, np.int16)
        self.end = 0
        """Position after the newest sample; set it to skip positions, whose samples are then undefined."""

    @property
    def capacity(self) -> int:
        """Samples held at most."""
        return len(self._samples)

    def append(self, samples: Pcm) -> None:
        """Append samples, more than the capacity too."""
        end = self.end + len(samples)
        newest = samples[-self.capacity :]
        at = (end - len(newest)) % self.capacity
        first = min(len(newest), self.capacity - at)
        self._samples[at : at + first] = newest[:first]
        self._samples[: len(newest) - first] = newest[first:]
        self.end = end

    def read(self, start: int, count: int) -> Pcm:
        """Return a copy of ``count`` samples, at most the capacity, from position ``start`` on."""
        at = start % self.capacity
        first = self._samples[at : at + count]
        return np.concatenate((first, self._samples[: count - len(first)]))
