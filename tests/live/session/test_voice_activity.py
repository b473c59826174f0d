"""Speech is what a detector is sure of, for long enough, and then over."""

import pytest

from appliance.live.session.voice_activity import VoiceActivity
from appliance.units import Seconds

STRETCH_S = 0.02


def listening(*stretches: tuple[float, float], voice: VoiceActivity | None = None) -> VoiceActivity:
    """A voice that has heard stretches of (probability, seconds)."""
    voice = voice or VoiceActivity()
    for probability, seconds in stretches:
        for _ in range(round(seconds / STRETCH_S)):
            voice = voice.after(probability, Seconds(STRETCH_S))
    return voice


def test_speech_is_over_after_a_pause():
    assert listening((0.1, 1.0), (0.9, 1.0)).stopped_s is None
    assert listening((0.1, 1.0), (0.9, 1.0), (0.1, 1.1)).stopped_s is None
    assert listening((0.1, 1.0), (0.9, 1.0), (0.1, 1.5)).stopped_s == pytest.approx(1.5)
    assert listening((0.1, 1.0), (0.9, 1.0), (0.1, 1.5), (0.9, 0.1)).stopped_s is None


@pytest.mark.parametrize(
    "stretches",
    [[(0.0, 5.0)], [(0.45, 5.0)], [(0.1, 1.0), (0.9, 0.3), (0.1, 3.0)]],
    ids=["nobody", "something that may be speech", "a cough"],
)
def test_what_is_no_speech_never_ends(stretches):
    assert listening(*stretches).stopped_s is None


def test_the_pauses_of_a_sentence_belong_to_it():
    assert listening((0.1, 1.0), *[(0.9, 0.1), (0.1, 0.8)] * 5, (0.1, 0.5)).stopped_s == pytest.approx(1.3)


def test_a_reset_forgets_what_was_said():
    voice = listening((0.9, 1.0), (0.1, 2.0)).reset()
    assert (voice.stopped_s, voice.since_s, voice.begins) == (None, None, False)
    assert listening((0.9, 1.0), (0.1, 2.0), voice=voice).stopped_s is not None
