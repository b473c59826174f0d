"""Every ending has an action, every line of the table has an example, and nothing shown holds a secret."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.core.sentences import SENTENCES
from appliance.errors import (
    LinkAction,
    LinkCause,
    LinkError,
    ProvisioningError,
    ProvisioningUnreachable,
    TokenRefused,
)
from appliance.live.closing import TABLE, TOLD, WAITS, Ending, Phase, Sign, action_of, judge, shown

A, C = LinkAction, LinkCause
OPENING, OPEN = Phase.OPENING, Phase.OPEN
QUOTA = "You exceeded your current quota, please check your plan and billing details."
NO_MODEL = "models/x is not found for API version v1alpha, or is not supported for bidiGenerateContent."
NOT_ENABLED = "Operation is not implemented, or supported, or enabled."

EXAMPLES = [
    (Ending(OPEN, Sign.CLOSED, 1011, QUOTA), A.WAIT_QUOTA, C.QUOTA),
    (Ending(OPENING, Sign.CLOSED, 1008, QUOTA), A.WAIT_QUOTA, C.QUOTA),
    (Ending(OPEN, Sign.ANSWERED, 503, "RESOURCE_EXHAUSTED"), A.WAIT_QUOTA, C.QUOTA),
    (Ending(OPENING, Sign.ANSWERED, 429), A.WAIT_QUOTA, C.QUOTA),
    (
        Ending(OPENING, Sign.CLOSED, 1007, "User location is not supported for the API use."),
        A.GIVE_UP_AUTH,
        C.REFUSED,
    ),
    (Ending(OPENING, Sign.ANSWERED, 403, "Consumer 'x' has been suspended."), A.GIVE_UP_AUTH, C.REFUSED),
    (Ending(OPENING, Sign.CLOSED, 1008, NO_MODEL), A.GIVE_UP_CONFIG, C.REFUSED),
    (Ending(OPENING, Sign.CLOSED, 1008, "Method doesn't allow unregistered callers"), A.NEW_TOKEN, C.REFUSED),
    (Ending(OPENING, Sign.CLOSED, 1007, "API key not valid. Please pass a valid API key."), A.NEW_TOKEN, C.REFUSED),
    (Ending(OPEN, Sign.CLOSED, 1008, "Token expired."), A.NEW_TOKEN, C.REFUSED),
    (Ending(OPENING, Sign.CLOSED, 1008, "Session not found"), A.FRESH_SESSION, C.REFUSED),
    (Ending(OPENING, Sign.CLOSED, 1007, "Invalid session resumption handle"), A.FRESH_SESSION, C.REFUSED),
    (Ending(OPEN, Sign.CLOSED, 1007, "The context window is full"), A.FRESH_SESSION, C.PROTOCOL),
    (Ending(OPENING, Sign.CLOSED, 1007, "Request contains an invalid argument."), A.DROP_TIER, C.REFUSED),
    (Ending(OPENING, Sign.CLOSED, 1008, NOT_ENABLED), A.DROP_TIER, C.REFUSED),
    (Ending(OPENING, Sign.CLOSED, 1008, "Policy."), A.FRESH_SESSION, C.REFUSED),
    (Ending(OPENING, Sign.CLOSED, 1011, "The service is currently unavailable."), A.BACK_OFF, C.UNREACHABLE),
    (Ending(OPENING, Sign.CLOSED, 1011, "The session is still connected."), A.BACK_OFF, C.UNREACHABLE),
    (Ending(OPENING, Sign.CLOSED, 1000), A.BACK_OFF, C.UNREACHABLE),
    (Ending(OPEN, Sign.CLOSED, 1000), A.RETRY_NOW, C.ENDED),
    (Ending(OPEN, Sign.CLOSED, 1007, "Request contains an invalid argument."), A.FRESH_SESSION, C.PROTOCOL),
    (Ending(OPEN, Sign.CLOSED, 1008, NOT_ENABLED), A.NEW_TOKEN, C.DROPPED),
    (Ending(OPEN, Sign.CLOSED, 1013), A.BACK_OFF, C.DROPPED),
    (Ending(OPEN, Sign.CLOSED, 1001), A.RETRY_NOW, C.DROPPED),
    (Ending(OPEN, Sign.CLOSED, 1006), A.RETRY_NOW, C.DROPPED),
    (
        Ending(OPEN, Sign.CLOSED, 1011, "Deadline expired before operation could complete."),
        A.RETRY_NOW,
        C.DROPPED,
    ),
    (Ending(OPEN, Sign.CLOSED, 4000), A.RETRY_NOW, C.DROPPED),
    (Ending(OPENING, Sign.ANSWERED, 401), A.NEW_TOKEN, C.REFUSED),
    (Ending(OPENING, Sign.ANSWERED, 404), A.GIVE_UP_CONFIG, C.REFUSED),
    (Ending(OPENING, Sign.ANSWERED, 503), A.BACK_OFF, C.UNREACHABLE),
    (Ending(OPENING, Sign.ANSWERED, 302), A.BACK_OFF, C.UNREACHABLE),
    (Ending(OPEN, Sign.ANSWERED, 503), A.RETRY_NOW, C.DROPPED),
    (Ending(OPEN, Sign.BROKEN), A.RETRY_NOW, C.DROPPED),
    (Ending(OPEN, Sign.NO_ROUTE), A.RETRY_NOW, C.DROPPED),
    (Ending(OPENING, Sign.CLOCK), A.CLOCK_WRONG, C.UNREACHABLE),
    (Ending(OPENING, Sign.NO_NAME), A.OFFLINE, C.UNREACHABLE),
    (Ending(OPENING, Sign.NO_ROUTE), A.OFFLINE, C.UNREACHABLE),
    (Ending(OPENING, Sign.INTERCEPTED), A.OFFLINE, C.UNREACHABLE),
    (Ending(OPENING, Sign.TIMEOUT), A.BACK_OFF, C.UNREACHABLE),
    (Ending(OPENING, Sign.BROKEN), A.BACK_OFF, C.UNREACHABLE),
    (Ending(OPENING, Sign.UNREADABLE), A.FRESH_SESSION, C.PROTOCOL),
    (Ending(OPEN, Sign.UNREADABLE), A.FRESH_SESSION, C.PROTOCOL),
]


@pytest.mark.parametrize(("ending", "action", "cause"), EXAMPLES)
def test_every_ending_has_the_action_that_helps(ending, action, cause):
    verdict = judge(ending)
    assert (verdict.action, verdict.cause) == (action, cause), ending.reason
    assert verdict.told is TOLD[action]


def test_every_line_of_the_table_is_the_first_to_match_an_example():
    first = {next(row for row in TABLE if row.matches(ending)) for ending, _, _ in EXAMPLES}
    assert first == set(TABLE)


@given(
    st.builds(
        Ending,
        st.sampled_from(Phase),
        st.sampled_from(Sign),
        st.one_of(st.integers(0, 5000), st.sampled_from([1000, 1007, 1008, 1011, 401, 404, 429])),
        st.text(max_size=40),
    )
)
def test_there_is_no_ending_without_a_verdict(ending):
    verdict = judge(ending)
    assert SENTENCES[verdict.told]
    assert WAITS[verdict.action].cap_s > 0


def test_every_action_has_its_words_and_its_pace():
    assert set(TOLD) == set(WAITS) == set(LinkAction)
    for sentence in SENTENCES.values():
        assert len(sentence) < 60, "long sentences are no comfort"


def test_a_reason_does_not_show_up_in_a_repr():
    assert "secret" not in repr(Ending(OPEN, Sign.CLOSED, 1008, "secret"))


@pytest.mark.parametrize(
    ("error", "action"),
    [
        (LinkError("x", C.DROPPED), A.RETRY_NOW),
        (LinkError("x", C.UNREACHABLE), A.BACK_OFF),
        (LinkError("x", C.REFUSED), A.NEW_TOKEN),
        (LinkError("x", C.QUOTA), A.WAIT_QUOTA),
        (LinkError("x", C.ENDED), A.RETRY_NOW),
        (LinkError("x", C.PROTOCOL), A.FRESH_SESSION),
        (LinkError("x", C.REFUSED, A.DROP_TIER), A.DROP_TIER),
        (ProvisioningUnreachable("x"), A.OFFLINE),
        (TokenRefused("x"), A.GIVE_UP_AUTH),
        (ProvisioningError("x"), A.BACK_OFF),
    ],
)
def test_every_error_of_an_attempt_has_an_action(error, action):
    assert action_of(error) is action


def test_what_is_shown_is_short_and_without_secrets():
    line = shown(1008, "Token auth_tokens/abcDEF-123_x== and\nkey " + "AIza" + "Sy" * 10 + " are wrong " * 40)
    assert line.startswith("1008: Token … and key … are wrong")
    assert len(line) < 180
    assert shown(1006, "") == "1006"
