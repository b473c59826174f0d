"""The books of sessions: what the server hears of each, once it is over."""

import pytest

from appliance.provisioning.common.protocol import UNUSED, SessionEventType
from appliance.provisioning.device.sessions import LINGER_S, MAX_REPORTS, UNOPENED_S, SessionTracker
from appliance.units import Seconds

STARTED, ENDED = SessionEventType.STARTED, SessionEventType.ENDED


def told(sessions: SessionTracker) -> list[tuple[str, SessionEventType, str, int, int]]:
    """Return what is to be told, and take it for told."""
    due = [
        (one.session_id, one.event.type, one.event.reason, one.event.seconds, one.event.reconnects)
        for one in sessions.pending
    ]
    sessions.pending.clear()
    return due


def at(seconds: float) -> Seconds:
    return Seconds(1000.0 + seconds)


def used(sessions: SessionTracker, name: str, begin: float, end: float) -> None:
    sessions.link_opened(name, at(begin))
    sessions.link_closed(name, at(end))


def test_a_session_begins_with_its_first_link_and_ends_some_time_after_its_last():
    sessions = SessionTracker()
    sessions.token_issued("a", at(0))
    used(sessions, "a", 1, 21)
    used(sessions, "a", 25, 65.4)
    assert not sessions.end_idle(at(65.4 + LINGER_S - 0.1))
    assert (sessions.in_use, sessions.next_end_at) == (True, at(65.4 + LINGER_S))
    assert sessions.end_idle(at(65.4 + LINGER_S))
    assert told(sessions) == [("a", STARTED, "", 0, 0), ("a", ENDED, "", 60, 1)]
    assert (sessions.in_use, sessions.next_end_at, sessions.end_idle(at(1e6))) == (False, None, False)


def test_a_session_that_is_taken_up_late_is_told_anew_with_all_of_its_seconds():
    sessions = SessionTracker()
    sessions.token_issued("a", at(0))
    used(sessions, "a", 0, 10)
    sessions.end_idle(at(30))
    used(sessions, "a", 100, 110)
    sessions.end_idle(at(130))
    assert told(sessions) == [("a", STARTED, "", 0, 0), ("a", ENDED, "", 10, 0), ("a", ENDED, "", 20, 1)]


def test_the_next_token_ends_the_session_before_at_once():
    sessions = SessionTracker()
    sessions.token_issued("a", at(0))
    used(sessions, "a", 0, 10)
    sessions.token_issued("b", at(11))
    assert told(sessions) == [("a", STARTED, "", 0, 0), ("a", ENDED, "", 10, 0)]


def test_a_session_whose_link_is_open_goes_on_when_the_next_token_comes():
    """As when a link is to be replaced before its time is over."""
    sessions = SessionTracker()
    sessions.token_issued("a", at(0))
    sessions.link_opened("a", at(0))
    sessions.token_issued("b", at(10))
    sessions.link_closed("a", at(12))
    used(sessions, "b", 13, 14)
    assert sessions.end_idle(at(12 + LINGER_S))
    assert [one[:4] for one in told(sessions)] == [
        ("a", STARTED, "", 0),
        ("b", STARTED, "", 0),
        ("a", ENDED, "", 12),
    ]


def test_a_token_that_nobody_could_connect_with_is_told_to_be_unused():
    """Else the server counts it as in use until its time is over, a quarter of an hour later."""
    sessions = SessionTracker()
    sessions.token_issued("a", at(0))
    assert sessions.in_use, "somebody is about to connect"
    assert sessions.next_end_at == at(UNOPENED_S)
    assert sessions.end_idle(at(UNOPENED_S))
    assert told(sessions) == [("a", ENDED, UNUSED, 0, 0)]
    sessions.token_issued("b", at(100))
    sessions.token_issued("c", at(101))
    assert told(sessions) == [("b", ENDED, UNUSED, 0, 0)]


def test_at_the_end_everything_without_a_link_has_ended():
    sessions = SessionTracker()
    sessions.token_issued("a", at(0))
    used(sessions, "a", 0, 5)
    sessions.token_issued("b", at(6))
    sessions.token_discarded("spare")
    sessions.end_all()
    sessions.end_all()
    assert [one[:3] for one in told(sessions)] == [
        ("a", STARTED, ""),
        ("a", ENDED, ""),
        ("spare", ENDED, UNUSED),
        ("b", ENDED, UNUSED),
    ]


@pytest.mark.parametrize(("links", "seconds", "said"), [(1, 1e9, (86_400, 0)), (10_100, 0.0, (0, 10_000))])
def test_numbers_stay_within_what_the_server_takes(links, seconds, said):
    sessions = SessionTracker()
    for _ in range(links):
        used(sessions, "a", 0, seconds)
    sessions.end_all()
    assert told(sessions)[-1][3:] == said


def test_what_waits_is_bounded_and_the_oldest_gives_way():
    sessions = SessionTracker()
    for number in range(MAX_REPORTS + 3):
        sessions.token_discarded(f"s{number}")
    assert len(sessions.pending) == MAX_REPORTS
    assert sessions.dropped == 3
    assert sessions.pending[0].session_id == "s3"


def test_a_thousand_conversations_leave_nothing_behind():
    sessions = SessionTracker()
    for number in range(1000):
        sessions.token_issued(f"s{number}", at(number * 60))
        if number % 3:
            used(sessions, f"s{number}", number * 60, number * 60 + 20)
        sessions.end_idle(at(number * 60 + 59))
    assert len(sessions._sessions) == 1


def test_closing_what_was_never_opened_changes_nothing():
    sessions = SessionTracker()
    sessions.link_closed("a", at(0))
    sessions.token_issued("b", at(0))
    sessions.link_closed("b", at(1))
    assert not sessions.pending
    assert sessions.next_end_at == at(UNOPENED_S)
