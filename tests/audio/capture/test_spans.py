from appliance.audio.capture.spans import MARGIN_S, ResumePoint
from appliance.units import Seconds


def at(known: ResumePoint, *chunks: tuple[float, int]) -> ResumePoint:
    for now, begin in chunks:
        known.sent(begin, Seconds(now))
    return known


def test_a_handle_stands_for_what_was_sent_but_for_what_may_have_been_on_its_way():
    known = at(ResumePoint(), (1.0, 0), (2.0, 640), (2.1, 1280))
    known.handle_came(1920, Seconds(2.0 + MARGIN_S))
    assert known.to == 1280
    known.handle_came(1920, Seconds(3.0))
    assert known.to == 1920


def test_what_has_not_arrived_is_not_known_however_long_ago_it_was_sent():
    known = at(ResumePoint(), (1.0, 0), (1.1, 640))
    known.handle_came(640, Seconds(60.0))
    assert known.to == 640


def test_without_a_handle_nothing_is_known_whatever_was_answered():
    known = ResumePoint()
    known.answered(640)
    assert known.to is None


def test_an_answer_makes_its_question_known_and_a_later_handle_knows_best():
    known = ResumePoint()
    known.answered(640)
    known.handle_came(1280, Seconds(10.0))
    known.answered(640)
    assert known.to == 1280
    known.answered(1920)
    assert known.to == 1920
    at(known, (20.0, 0)).handle_came(640, Seconds(20.1))
    assert known.to == 0, "what is sent once more need not have arrived either"
