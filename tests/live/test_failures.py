"""Every ending has an action, every line of the table has an example, and nothing shown holds a secret."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.core.trouble_messages import TROUBLE_MESSAGES
from appliance.errors import (
    LinkAction,
    LinkCause,
    LinkError,
    ProvisioningError,
    ProvisioningUnreachable,
    TokenRefused,
)
from appliance.live.failures import (
    TABLE,
    USER_TROUBLE,
    WAITS,
    ConnectionFailure,
    FailureKind,
    Phase,
    action_of,
    classify,
    redacted,
)

A, C = LinkAction, LinkCause
OPENING, OPEN = Phase.OPENING, Phase.OPEN
QUOTA = "You exceeded your current quota, please check your plan and billing details."
NO_MODEL = "models/x is not found for API version v1alpha, or is not supported for bidiGenerateContent."
NOT_ENABLED = "Operation is not implemented, or supported, or enabled."

EXAMPLES = [
    (ConnectionFailure(OPEN, FailureKind.CLOSED, 1011, QUOTA), A.WAIT_QUOTA, C.QUOTA),
    (ConnectionFailure(OPENING, FailureKind.CLOSED, 1008, QUOTA), A.WAIT_QUOTA, C.QUOTA),
    (ConnectionFailure(OPEN, FailureKind.ANSWERED, 503, "RESOURCE_EXHAUSTED"), A.WAIT_QUOTA, C.QUOTA),
    (ConnectionFailure(OPENING, FailureKind.ANSWERED, 429), A.WAIT_QUOTA, C.QUOTA),
    (
        ConnectionFailure(OPENING, FailureKind.CLOSED, 1007, "User location is not supported for the API use."),
        A.GIVE_UP_AUTH,
        C.REFUSED,
    ),
    (
        ConnectionFailure(OPENING, FailureKind.ANSWERED, 403, "Consumer 'x' has been suspended."),
        A.GIVE_UP_AUTH,
        C.REFUSED,
    ),
    (ConnectionFailure(OPENING, FailureKind.CLOSED, 1008, NO_MODEL), A.GIVE_UP_CONFIG, C.REFUSED),
    (
        ConnectionFailure(OPENING, FailureKind.CLOSED, 1008, "Method doesn't allow unregistered callers"),
        A.NEW_TOKEN,
        C.REFUSED,
    ),
    (
        ConnectionFailure(OPENING, FailureKind.CLOSED, 1007, "API key not valid. Please pass a valid API key."),
        A.NEW_TOKEN,
        C.REFUSED,
    ),
    (ConnectionFailure(OPEN, FailureKind.CLOSED, 1008, "Token expired."), A.NEW_TOKEN, C.REFUSED),
    (ConnectionFailure(OPENING, FailureKind.CLOSED, 1008, "Session not found"), A.FRESH_SESSION, C.REFUSED),
    (
        ConnectionFailure(OPENING, FailureKind.CLOSED, 1007, "Invalid session resumption handle"),
        A.FRESH_SESSION,
        C.REFUSED,
    ),
    (ConnectionFailure(OPEN, FailureKind.CLOSED, 1007, "The context window is full"), A.FRESH_SESSION, C.PROTOCOL),
    (
        ConnectionFailure(OPENING, FailureKind.CLOSED, 1007, "Request contains an invalid argument."),
        A.OMIT_FEATURE,
        C.REFUSED,
    ),
    (ConnectionFailure(OPENING, FailureKind.CLOSED, 1008, NOT_ENABLED), A.OMIT_FEATURE, C.REFUSED),
    (ConnectionFailure(OPENING, FailureKind.CLOSED, 1008, "Policy."), A.FRESH_SESSION, C.REFUSED),
    (
        ConnectionFailure(OPENING, FailureKind.CLOSED, 1011, "The service is currently unavailable."),
        A.BACK_OFF,
        C.UNREACHABLE,
    ),
    (
        ConnectionFailure(OPENING, FailureKind.CLOSED, 1011, "The session is still connected."),
        A.BACK_OFF,
        C.UNREACHABLE,
    ),
    (ConnectionFailure(OPENING, FailureKind.CLOSED, 1000), A.BACK_OFF, C.UNREACHABLE),
    (ConnectionFailure(OPEN, FailureKind.CLOSED, 1000), A.RETRY_NOW, C.ENDED),
    (
        ConnectionFailure(OPEN, FailureKind.CLOSED, 1007, "Request contains an invalid argument."),
        A.FRESH_SESSION,
        C.PROTOCOL,
    ),
    (ConnectionFailure(OPEN, FailureKind.CLOSED, 1008, NOT_ENABLED), A.NEW_TOKEN, C.DROPPED),
    (ConnectionFailure(OPEN, FailureKind.CLOSED, 1013), A.BACK_OFF, C.DROPPED),
    (ConnectionFailure(OPEN, FailureKind.CLOSED, 1001), A.RETRY_NOW, C.DROPPED),
    (ConnectionFailure(OPEN, FailureKind.CLOSED, 1006), A.RETRY_NOW, C.DROPPED),
    (
        ConnectionFailure(OPEN, FailureKind.CLOSED, 1011, "Deadline expired before operation could complete."),
        A.RETRY_NOW,
        C.DROPPED,
    ),
    (ConnectionFailure(OPEN, FailureKind.CLOSED, 4000), A.RETRY_NOW, C.DROPPED),
    (ConnectionFailure(OPENING, FailureKind.ANSWERED, 401), A.NEW_TOKEN, C.REFUSED),
    (ConnectionFailure(OPENING, FailureKind.ANSWERED, 404), A.GIVE_UP_CONFIG, C.REFUSED),
    (ConnectionFailure(OPENING, FailureKind.ANSWERED, 503), A.BACK_OFF, C.UNREACHABLE),
    (ConnectionFailure(OPENING, FailureKind.ANSWERED, 302), A.BACK_OFF, C.UNREACHABLE),
    (ConnectionFailure(OPEN, FailureKind.ANSWERED, 503), A.RETRY_NOW, C.DROPPED),
    (ConnectionFailure(OPEN, FailureKind.BROKEN), A.RETRY_NOW, C.DROPPED),
    (ConnectionFailure(OPEN, FailureKind.NO_ROUTE), A.RETRY_NOW, C.DROPPED),
    (ConnectionFailure(OPENING, FailureKind.CLOCK), A.CLOCK_WRONG, C.UNREACHABLE),
    (ConnectionFailure(OPENING, FailureKind.NO_NAME), A.OFFLINE, C.UNREACHABLE),
    (ConnectionFailure(OPENING, FailureKind.NO_ROUTE), A.OFFLINE, C.UNREACHABLE),
    (ConnectionFailure(OPENING, FailureKind.INTERCEPTED), A.OFFLINE, C.UNREACHABLE),
    (ConnectionFailure(OPENING, FailureKind.TIMEOUT), A.BACK_OFF, C.UNREACHABLE),
    (ConnectionFailure(OPENING, FailureKind.BROKEN), A.BACK_OFF, C.UNREACHABLE),
    (ConnectionFailure(OPENING, FailureKind.UNREADABLE), A.FRESH_SESSION, C.PROTOCOL),
    (ConnectionFailure(OPEN, FailureKind.UNREADABLE), A.FRESH_SESSION, C.PROTOCOL),
]


@pytest.mark.parametrize(("ending", "action", "cause"), EXAMPLES)
def test_every_ending_has_the_action_that_helps(ending, action, cause):
    decision = classify(ending)
    assert (decision.action, decision.cause) == (action, cause), ending.reason


def test_every_line_of_the_table_is_the_first_to_match_an_example():
    first = {next(row for row in TABLE if row.matches(ending)) for ending, _, _ in EXAMPLES}
    assert first == set(TABLE)


@given(
    st.builds(
        ConnectionFailure,
        st.sampled_from(Phase),
        st.sampled_from(FailureKind),
        st.one_of(st.integers(0, 5000), st.sampled_from([1000, 1007, 1008, 1011, 401, 404, 429])),
        st.text(max_size=40),
    )
)
def test_there_is_no_ending_without_a_verdict(ending):
    decision = classify(ending)
    assert TROUBLE_MESSAGES[USER_TROUBLE[decision.action]]
    assert WAITS[decision.action].cap_s > 0


def test_every_action_has_its_words_and_its_pace():
    assert set(USER_TROUBLE) == set(WAITS) == set(LinkAction)
    for sentence in TROUBLE_MESSAGES.values():
        assert len(sentence) < 60, "long sentences are no comfort"


def test_a_reason_does_not_show_up_in_a_repr():
    assert "secret" not in repr(ConnectionFailure(OPEN, FailureKind.CLOSED, 1008, "secret"))


@pytest.mark.parametrize(
    ("error", "action"),
    [
        (LinkError("x", C.DROPPED), A.RETRY_NOW),
        (LinkError("x", C.UNREACHABLE), A.BACK_OFF),
        (LinkError("x", C.REFUSED), A.NEW_TOKEN),
        (LinkError("x", C.QUOTA), A.WAIT_QUOTA),
        (LinkError("x", C.ENDED), A.RETRY_NOW),
        (LinkError("x", C.PROTOCOL), A.FRESH_SESSION),
        (LinkError("x", C.REFUSED, A.OMIT_FEATURE), A.OMIT_FEATURE),
        (ProvisioningUnreachable("x"), A.OFFLINE),
        (TokenRefused("x"), A.GIVE_UP_AUTH),
        (ProvisioningError("x"), A.BACK_OFF),
    ],
)
def test_every_error_of_an_attempt_has_an_action(error, action):
    assert action_of(error) is action


def test_what_is_shown_is_short_and_without_secrets():
    line = redacted(1008, "Token auth_tokens/abcDEF-123_x== and\nkey " + "AIza" + "Sy" * 10 + " are wrong " * 40)
    assert line.startswith("1008: Token … and key … are wrong")
    assert len(line) < 180
    assert redacted(1006, "") == "1006"
