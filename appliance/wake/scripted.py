"""A wake-word engine that detects words at given samples: for tests, the simulator and demonstrations."""

from collections.abc import Iterable
from typing import Final

from appliance.units import Pcm, SampleIndex
from appliance.wake.ports import Detection, Score

HOP: Final = 1280
"""Samples from one score to the next, counted from sample 0."""


class ScriptedEngine:
    """A `WakeEngine` that detects a word at each of the given samples, unless that sample was lost.

    The score of the hop that a word ends in is 1, of all others 0.
    """

    def __init__(self, words: Iterable[int], model: str = "scripted") -> None:
        self._words = tuple(sorted(words))
        self._model = model

    def feed(self, start: SampleIndex, samples: Pcm) -> tuple[list[Detection], list[Score]]:
        """See `WakeEngine.feed`."""
        end = start + len(samples)
        heard = [Detection(self._model, SampleIndex(word), 1.0) for word in self._words if start < word <= end]
        hops = range((start // HOP + 1) * HOP, end + 1, HOP)
        return heard, [Score(self._model, SampleIndex(hop), self._score(hop)) for hop in hops]

    def contains(self, recording: Pcm) -> bool:
        """See `WakeEngine.contains`: there is none, since a recording has no place in the script."""
        del recording
        return False

    def _score(self, hop: int) -> float:
        return float(any(hop - HOP < word <= hop for word in self._words))
