"""The person: asks once, then speaks over answers, and over nothing that is shorter."""

import numpy as np
import pytest

from appliance.units import REPLY, UPLINK, Pcm, Seconds
from appliance.virtual_card.person import LISTENS_S, MOST_ASKED, OPEN_FOR_S, SimulatedPerson, fluent, sayings

STEP_S = Seconds(0.01)
SOUND = np.full(REPLY.frames(STEP_S), 2_000, np.int16)
SILENCE = np.zeros_like(SOUND)
FIRST, SECOND, THIRD = (np.full(UPLINK.frames(1.0), value, np.int16) for value in (2, 3, 4))


def after(person: SimulatedPerson, seconds: float, played: Pcm, *, is_open: bool = True) -> list[tuple[float, Pcm]]:
    """Return the words said during some seconds, and how long after their beginning."""
    heard = [person.feed(played, STEP_S, is_open=is_open) for _ in range(round(seconds / STEP_S))]
    return [(step * STEP_S, words) for step, words in enumerate(heard) if words is not None]


def begun() -> SimulatedPerson:
    """A person who has asked."""
    person = SimulatedPerson([FIRST, SECOND, THIRD])
    assert len(after(person, OPEN_FOR_S + 1.5, SILENCE)) == 1
    assert not after(person, 0.1, SOUND)
    assert not after(person, 1.0, SILENCE)
    return person


def test_a_person_asks_once_the_microphone_is_open():
    person = SimulatedPerson([FIRST, SECOND])
    assert not after(person, 60, SILENCE, is_open=False)
    assert not after(person, OPEN_FOR_S / 2, SILENCE)
    assert not after(person, 1, SILENCE, is_open=False)
    ((at_s, words),) = after(person, OPEN_FOR_S + 2, SILENCE)
    assert words is FIRST
    assert at_s >= OPEN_FOR_S - 2 * STEP_S
    assert not after(person, 0.5, SOUND)
    assert not after(person, 60, SILENCE)


def test_a_question_that_nothing_answers_is_asked_again_a_few_times():
    person = SimulatedPerson([FIRST, SECOND])
    said = after(person, 100, SILENCE)
    assert [words[0] for _, words in said] == [2] * MOST_ASKED
    assert person.asked == MOST_ASKED
    ((_, words),) = after(person, LISTENS_S + 1, SOUND)
    assert np.array_equal(words, SECOND)


def test_a_person_speaks_over_an_answer():
    person = begun()
    ((at_s, words),) = after(person, LISTENS_S + 1, SOUND)
    assert np.array_equal(words, SECOND)
    assert abs(at_s - LISTENS_S) < 0.1


def test_pauses_of_an_answer_are_part_of_it():
    person = begun()
    assert not after(person, LISTENS_S * 0.6, SOUND)
    assert not after(person, 0.3, SILENCE)
    assert after(person, LISTENS_S * 0.6, SOUND)


def test_earcons_are_no_answer():
    person = begun()
    for _ in range(5):
        assert not after(person, 1.0, SOUND)
        assert not after(person, 1.0, SILENCE)


def test_every_answer_is_spoken_over_until_all_is_said():
    person = begun()
    said = [words for _, words in after(person, 10 * LISTENS_S, SOUND)]
    assert [words[0] for words in said] == [3, 4]


def test_whoever_interrupts_does_not_pause():
    pause: Pcm = np.zeros(UPLINK.frames(0.6), np.int16)
    words = np.concatenate((pause, FIRST * 3_000, pause, FIRST * 3_000))
    assert UPLINK.duration(len(fluent(words))) == pytest.approx(2.2, abs=0.05)
    assert np.array_equal(fluent(FIRST), FIRST)
    assert not len(fluent(FIRST[:0]))


def test_what_is_said_is_divided_at_long_pauses():
    noise = np.random.default_rng(1).normal(0, 3, UPLINK.frames(12)).astype(np.int16)
    recording = noise.copy()
    for begin_s, end_s in ((1.0, 2.0), (3.0, 4.0), (8.0, 9.5)):  # one second is a pause for breath
        recording[UPLINK.frames(begin_s) : UPLINK.frames(end_s)] += 3_000
    first, second = sayings(recording)
    assert abs(UPLINK.duration(len(first)) - 3.4) < 0.1
    assert abs(UPLINK.duration(len(second)) - 1.9) < 0.1
    assert sayings(np.zeros(UPLINK.frames(3), np.int16)) == []
    assert sayings(np.zeros(0, np.int16)) == []
