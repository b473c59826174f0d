"""The level takes the place of the better detector where that does not work."""

from collections.abc import Callable

import numpy as np
import pytest

from appliance.errors import LocalModelError
from appliance.units import Pcm, SampleIndex
from appliance.voice.fallback import FallbackVoiceDetector
from appliance.voice.ports import WINDOW, SpeechProbability, VoiceDetector
from appliance.voice.scripted import ScriptedVoiceDetector


class Failing:
    """A detector that fails after its first block."""

    def __init__(self) -> None:
        self._fails = False

    def feed(self, start: SampleIndex, samples: Pcm) -> list[SpeechProbability]:
        if self._fails:
            raise LocalModelError("the graph is gone")
        self._fails = True
        return [SpeechProbability(SampleIndex(start + WINDOW), 0.25)]


def absent() -> VoiceDetector:
    raise LocalModelError("there is no runtime")


@pytest.mark.parametrize(("load_it", "reason"), [(absent, "there is no runtime"), (Failing, "the graph is gone")])
def test_without_the_better_detector_the_level_decides_and_one_line_says_so(
    load_it: Callable[[], VoiceDetector], reason: str, caplog: pytest.LogCaptureFixture
):
    detector = FallbackVoiceDetector(load_it)
    noise = np.random.default_rng(1).normal(0, 3000, 4096).astype(np.int16)
    found = [
        detector.feed(SampleIndex(at), noise[at : at + 1024] >> shift) for at, shift in ((0, 8), (1024, 8), (2048, 0))
    ]
    assert found[2][-1].probability > 0.9
    assert [vars(record)["fields"]["reason"] for record in caplog.records] == [reason]


def test_the_better_detector_is_used_while_it_works(caplog: pytest.LogCaptureFixture):
    detector = FallbackVoiceDetector(lambda: ScriptedVoiceDetector([(0, 512)]))
    assert [window.probability for window in detector.feed(SampleIndex(0), np.zeros(1024, np.int16))] == [1.0, 0.0]
    assert not caplog.records
