"""The decision rule: which scores of a wake-word graph make a detection.

Pure: time is counted in samples of the microphone stream. One score comes for every hop of 80 ms, in order.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from appliance.units import UPLINK, SampleIndex, Seconds
from appliance.wake.ports import Detection, Score

THRESHOLDS: Final[Mapping[str, float]] = {"alexa": 0.5, "hey_jarvis": 0.7, "hey_mycroft": 0.5, "hey_rhasspy": 0.5}
"""Default for each model, measured on real voices and similar words; hey_jarvis also fires on a plain "jarvis"."""
CUSTOM_THRESHOLD: Final = 0.5
"""Default for any other model."""
CERTAIN: Final = 0.9
"""Score that needs no second one at the threshold next to it."""
SUPPORT: Final = 0.2
"""Least score of the hop before a certain one."""
REARM: Final = 0.2
"""A lower score ends the word."""


@dataclass(frozen=True, slots=True)
class Rule:
    """The settings of the decision rule."""

    threshold: float
    """Least score that counts, 0 to 1."""
    refractory: int
    """Least number of samples between two detections."""


def rule_for(model: str, threshold: float | None = None, refractory_s: float = 2.0) -> Rule:
    """Return the rule for a model; ``threshold`` defaults to the model's own."""
    default = THRESHOLDS.get(model, CUSTOM_THRESHOLD)
    return Rule(default if threshold is None else threshold, UPLINK.frames(Seconds(refractory_s)))


class Detector:
    """Applies the rule to one model's scores.

    A word is detected when a score reaches the threshold and one of the two hops before it did too, or when a certain
    score follows a supporting one. The detector rearms once the refractory time has passed and then a score falls below
    `REARM`; scores until then are ignored. So one utterance makes one detection.
    """

    def __init__(self, rule: Rule) -> None:
        self._rule = rule
        self._rearm = min(REARM, rule.threshold)
        self._armed = True
        self._refractory_until = SampleIndex(0)
        self._before = (0.0, 0.0)

    def decide(self, hop: Score) -> Detection | None:
        """Take the next hop's score; return the detection if a word ended here."""
        if not self._counts(hop):
            return None
        older, previous = self._before
        self._before = (previous, hop.score)
        if not self._convincing(older, previous, hop.score):
            return None
        self._armed = False
        self._refractory_until = SampleIndex(hop.end_sample + self._rule.refractory)
        self._before = (0.0, 0.0)
        return Detection(hop.model, hop.end_sample, hop.score)

    def _counts(self, hop: Score) -> bool:
        if hop.end_sample < self._refractory_until:
            return False
        if hop.score < self._rearm:
            self._armed = True
        return self._armed

    def _convincing(self, older: float, previous: float, score: float) -> bool:
        threshold = self._rule.threshold
        if score < threshold:
            return False
        return max(older, previous) >= threshold or (score >= CERTAIN and previous >= SUPPORT)
