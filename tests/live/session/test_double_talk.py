"""Whether the person speaks on while a reply begins."""

from appliance.live.session.double_talk import ECHO_S, LONGEST_S, DoubleTalkDetector
from appliance.units import Seconds


def hear(talk: DoubleTalkDetector, *stretches: tuple[float, float]) -> DoubleTalkDetector:
    """Hear stretches of (probability, seconds)."""
    for probability, seconds in ((0.1, 0.2), *stretches):
        for _ in range(round(seconds / 0.02)):
            talk.feed(probability, Seconds(0.02))
    return talk


def test_who_speaks_as_the_reply_is_heard_speaks_over_it():
    assert hear(DoubleTalkDetector(), (0.9, 0.3)).begins()
    assert hear(DoubleTalkDetector(), (0.9, 0.3), (0.1, 0.3)).begins(), "a pause between two words"
    assert not hear(DoubleTalkDetector(), (0.9, 2.0), (0.1, 0.5)).begins(), "the question is over"
    assert not hear(DoubleTalkDetector(), (0.9, 0.1)).begins(), "a click"
    assert not hear(DoubleTalkDetector()).begins()


def test_what_follows_a_sound_of_our_own_may_be_its_echo():
    talk = hear(DoubleTalkDetector(), (0.9, 0.5))
    talk.sounded()
    assert not hear(talk, (0.9, ECHO_S - 0.1)).begins()
    assert hear(talk, (0.9, 0.5)).begins()


def test_it_is_over_after_the_silence_that_the_service_needs_or_when_nobody_would_believe_it():
    for silence_s, needed_s in ((None, 1.2), (0.3, 1.2), (2.0, 2.4)):
        talk = hear(DoubleTalkDetector(silence_s), (0.9, 0.5))
        assert talk.begins()
        assert not hear(talk, (0.9, 1.0), (0.1, needed_s - 0.3)).over
        assert hear(talk, (0.1, 0.2)).over
        assert hear(talk, (0.9, LONGEST_S + needed_s)).over


def quiet_s(talk: DoubleTalkDetector) -> float:
    return float("inf") if talk.quiet_s is None else talk.quiet_s


def test_the_last_sound_is_known_until_a_reply_is_heard():
    talk = DoubleTalkDetector()
    assert quiet_s(talk) == float("inf")
    assert 0.25 < quiet_s(hear(talk, (0.9, 0.5), (0.1, 0.3))) < 0.55
    talk.begins()
    assert quiet_s(talk) == float("inf")
