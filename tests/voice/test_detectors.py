"""The detectors without a model: by loudness and by script; windows, gaps, and blocks of any length."""

from collections.abc import Callable, Iterable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.units import UPLINK, Pcm, SampleIndex
from appliance.voice.level import LevelVoiceDetector
from appliance.voice.ports import WINDOW, SpeechProbability, VoiceDetector
from appliance.voice.scripted import ScriptedVoiceDetector

both = pytest.mark.parametrize("make", [LevelVoiceDetector, lambda: ScriptedVoiceDetector([(3000, 9000)])])


def noise(seconds: float, dbfs: float) -> Pcm:
    wide = np.random.default_rng(1).normal(0, 32768 * 10 ** (dbfs / 20), UPLINK.frames(seconds))
    return wide.clip(-32768, 32767).astype(np.int16)


def feed(detector: VoiceDetector, samples: Pcm, start: int = 0, lengths: Iterable[int] = ()) -> list[SpeechProbability]:
    """Feed blocks of the given lengths, and the rest at once."""
    found = []
    for length in (*lengths, len(samples)):
        found += detector.feed(SampleIndex(start), samples[:length])
        start, samples = start + len(samples[:length]), samples[length:]
    return found


def probabilities(detector: VoiceDetector, samples: Pcm, start: int = 0) -> list[float]:
    return [window.probability for window in feed(detector, samples, start)]


@both
@settings(deadline=None, max_examples=30)
@given(lengths=st.lists(st.integers(0, 3000), max_size=20))
def test_the_lengths_of_the_blocks_make_no_difference(make: Callable[[], VoiceDetector], lengths: list[int]):
    samples = np.concatenate((noise(0.4, -70), noise(0.6, -30)))
    assert feed(make(), samples, 160, lengths) == make().feed(SampleIndex(160), samples)


@both
def test_after_a_gap_the_windows_begin_anew(make: Callable[[], VoiceDetector]):
    detector = make()
    assert [window.end_sample for window in feed(detector, noise(0.1, -60))] == [512, 1024, 1536]
    assert [window.end_sample for window in feed(detector, noise(0.1, -60), 5000)] == [5512, 6024, 6536]


def test_what_is_much_louder_than_the_room_is_speech():
    detector = LevelVoiceDetector()
    assert max(probabilities(detector, noise(1.0, -70))) < 0.1
    assert min(probabilities(detector, noise(1.0, -30), 16_500)) > 0.9
    assert max(probabilities(detector, noise(1.0, -60), 33_000)) < 0.2, "10 dB above the room, but hardly to be heard"


def test_a_noise_that_lasts_becomes_the_room():
    detector = LevelVoiceDetector()
    feed(detector, noise(0.1, -60))
    heard = probabilities(detector, noise(20.0, -30))
    assert heard[0] > 0.9
    assert heard[-1] < 0.1


def test_after_digital_silence_the_room_is_no_speech_for_long():
    detector = LevelVoiceDetector()
    feed(detector, np.zeros(UPLINK.frames(1.0), np.int16))
    assert max(probabilities(detector, noise(6.0, -50), 16_000)[-30:]) < 0.5


def test_the_room_is_remembered_over_a_gap():
    detector = LevelVoiceDetector()
    feed(detector, noise(1.0, -70))
    assert min(probabilities(detector, noise(0.3, -30), 60_000)) > 0.9


def test_silence_is_no_speech():
    assert max(probabilities(LevelVoiceDetector(), np.zeros(16_000, np.int16))) < 0.01


def test_speech_is_where_the_script_says():
    heard = feed(ScriptedVoiceDetector([(1024, 2048), (4096, 4100)]), np.zeros(10 * WINDOW, np.int16))
    assert [window.end_sample for window in heard if window.probability] == [1536, 2048]
