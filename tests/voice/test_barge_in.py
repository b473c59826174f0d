"""A person who speaks over a reply is suspected at once, confirmed soon, and forgotten after a pause."""

from hypothesis import given
from hypothesis import strategies as st

from appliance.core.events import VoiceCeased, VoiceConfirmed, VoiceSuspected
from appliance.voice.barge_in import (
    CONFIRMED,
    HOLD_S,
    STRICT,
    SUSPECTED,
    SUSPECTED_WINDOWS,
    BargeInDetector,
)
from appliance.voice.ports import WINDOW_S

SPEECH, MAYBE, NOISE = 0.9, (SUSPECTED + CONFIRMED) / 2, 0.1


def told(*probabilities: float, strict: bool = False) -> list[tuple[int, str]]:
    """Feed windows; return what was found, and after how many of them."""
    detector = BargeInDetector()
    found = [detector.feed(probability, strict=strict) for probability in probabilities]
    return [(number, type(event).__name__) for number, event in enumerate(found, 1) if event is not None]


def test_a_person_is_suspected_after_64_ms_and_confirmed_after_192():
    assert told(*[SPEECH] * 20) == [(2, "VoiceSuspected"), (6, "VoiceConfirmed")]
    assert SUSPECTED_WINDOWS * WINDOW_S < 0.1


def test_one_window_is_no_suspicion():
    assert told(*[SPEECH, NOISE] * 20) == []


def test_a_suspicion_that_is_not_confirmed_ends_after_the_hold():
    [_, (number, name)] = told(SPEECH, SPEECH, *[NOISE] * 20)
    assert name == "VoiceCeased"
    assert HOLD_S <= (number - 2) * WINDOW_S < HOLD_S + 2 * WINDOW_S
    assert told(*[MAYBE] * 100) == [(2, "VoiceSuspected")]


def test_the_gaps_between_words_neither_end_nor_hinder_the_confirmation():
    words = [SPEECH, SPEECH, NOISE, SPEECH, *[NOISE] * 5, SPEECH, SPEECH, NOISE, SPEECH]
    assert told(*words) == [(2, "VoiceSuspected"), (len(words), "VoiceConfirmed")]


def test_after_a_voice_has_ceased_another_is_found():
    person = [*[SPEECH] * 8, *[NOISE] * 15]
    assert [name for _, name in told(*person, *person)] == ["VoiceSuspected", "VoiceConfirmed", "VoiceCeased"] * 2


def test_where_an_echo_may_be_left_only_what_is_surely_speech_counts():
    assert told(*[STRICT - 0.01] * 30, strict=True) == []
    assert told(*[STRICT] * 30, strict=True) == [(2, "VoiceSuspected"), (6, "VoiceConfirmed")]


def test_a_reset_forgets_the_voice_without_a_word():
    detector = BargeInDetector()
    for _ in range(10):
        detector.feed(SPEECH, strict=False)
    detector.reset()
    assert [detector.feed(NOISE, strict=False) for _ in range(30)] == [None] * 30


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), max_size=200))
def test_whatever_is_heard_a_confirmation_follows_a_suspicion_and_both_end(windows):
    detector = BargeInDetector()
    phase: type | None = None
    for probability, strict in [*windows, *[(0.0, False)] * 12]:
        event = detector.feed(probability, strict=strict)
        match event:
            case VoiceSuspected():
                assert phase is None
            case VoiceConfirmed():
                assert phase is VoiceSuspected
            case VoiceCeased():
                assert phase is not None
        if event is not None:
            phase = None if isinstance(event, VoiceCeased) else type(event)
    assert phase is None
