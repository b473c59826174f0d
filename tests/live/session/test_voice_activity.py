"""Speech is louder than the room, for long enough, and then over."""

import pytest

from appliance.live.session.voice_activity import VoiceActivity
from appliance.units import Dbfs, Seconds

BLOCK_S = 0.02


def listening(*stretches: tuple[float, float]) -> VoiceActivity:
    """A voice that has heard stretches of (dBFS, seconds)."""
    voice = VoiceActivity()
    for level, seconds in stretches:
        for _ in range(round(seconds / BLOCK_S)):
            voice = voice.after(Dbfs(level), Seconds(BLOCK_S))
    return voice


def test_speech_is_over_after_a_pause():
    assert listening((-60, 1.0), (-30, 1.0)).stopped_s is None
    assert listening((-60, 1.0), (-30, 1.0), (-60, 1.1)).stopped_s is None
    assert listening((-60, 1.0), (-30, 1.0), (-60, 1.5)).stopped_s == pytest.approx(1.5)
    assert listening((-60, 1.0), (-30, 1.0), (-60, 1.5), (-30, 0.1)).stopped_s is None


@pytest.mark.parametrize(
    "stretches",
    [
        [(-60, 5.0)],
        [(-30, 5.0)],
        [(-60, 1.0), (-30, 0.3), (-60, 3.0)],
        [(-90, 1.0), (-60, 2.0), (-90, 3.0)],
        [(-50, 1.0), (-40, 2.0), (-50, 3.0)],
    ],
    ids=["a quiet room", "a loud room", "a cough", "a whisper of noise", "a room that grows a little louder"],
)
def test_what_is_no_speech_never_ends(stretches):
    assert listening(*stretches).stopped_s is None


def test_the_pauses_of_a_sentence_belong_to_it():
    assert listening((-60, 1.0), *[(-30, 0.1), (-60, 0.8)] * 5, (-60, 0.5)).stopped_s == pytest.approx(1.3)


def test_noise_that_begins_and_stays_is_taken_for_the_room_in_the_end():
    voice = listening((-60, 1.0), (-35, 12.0))
    voice = voice.reset()
    for _ in range(200):
        voice = voice.after(Dbfs(-35), Seconds(BLOCK_S))
    assert voice.stopped_s is None


def test_a_reset_forgets_what_was_said_and_not_the_room():
    voice = listening((-60, 1.0), (-30, 1.0), (-60, 2.0))
    voice = voice.reset()
    assert voice.stopped_s is None
    for level in [-30] * 50 + [-60] * 100:
        voice = voice.after(Dbfs(level), Seconds(BLOCK_S))
    assert voice.stopped_s is not None
