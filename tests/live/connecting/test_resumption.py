"""A handle is used while it is good, dropped when it is not, and the ladder only leads down."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.errors import LinkAction
from appliance.live.connecting.resumption import (
    FALLBACKS,
    VALID_S,
    WITH_HANDLE,
    Handle,
    ResumeStrategy,
    ResumptionState,
    first_strategy,
    next_strategy,
)
from appliance.units import Seconds

A = LinkAction
NOW = Seconds(5000.0)
MEMORY_S = 300.0


def held(now: float = 5000.0) -> ResumptionState:
    return ResumptionState().updated("h", "config", Seconds(now))


def value(handles: ResumptionState, now: float, config: str = "config", memory_s: float = MEMORY_S) -> str | None:
    handle = handles.usable(config, memory_s, Seconds(now))
    return handle.value if handle else None


def test_the_newest_handle_counts():
    assert value(ResumptionState(), 5000) is None
    assert value(held().updated("i", "config", NOW), 5001) == "i"


def test_a_session_that_cannot_be_resumed_now_can_be_resumed_from_before():
    handles = held().updated(None, "config", Seconds(5001.0))
    assert handles.outdated
    assert value(handles, 5002) == "h"
    assert not handles.updated("i", "config", Seconds(5003.0)).outdated


def test_a_handle_grows_too_old():
    assert value(held(), 5000 + VALID_S - 61) == "h"
    assert value(held(), 5000 + VALID_S - 60) is None


def test_a_handle_of_another_set_up_is_not_used():
    assert value(held(), 5001, config="other model") is None


def test_a_conversation_is_remembered_for_a_while_after_it_is_over():
    over = held().conversation_ended(Seconds(5100.0))
    assert value(over, 5100 + MEMORY_S - 1) == "h"
    assert value(over, 5100 + MEMORY_S) is None
    assert value(over, 5100, memory_s=0) is None, "no memory at all"
    assert value(over.continued(), 5100 + MEMORY_S) == "h"


def test_a_dropped_handle_is_gone_and_the_hanging_up_is_not():
    dropped = held().conversation_ended(Seconds(5100.0)).dropped()
    assert value(dropped, 5101) is None
    assert dropped.ended_at == Seconds(5100.0)


def test_no_repr_shows_a_handle():
    assert "secret" not in repr(ResumptionState(Handle("secret", NOW, "config")))


LOST = [
    (A.RETRY_NOW, ResumeStrategy.SAME_TOKEN, ResumeStrategy.SEEDED),
    (A.BACK_OFF, ResumeStrategy.SAME_TOKEN, ResumeStrategy.SEEDED),
    (A.OFFLINE, ResumeStrategy.SAME_TOKEN, ResumeStrategy.SEEDED),
    (A.CLOCK_WRONG, ResumeStrategy.SAME_TOKEN, ResumeStrategy.SEEDED),
    (A.WAIT_QUOTA, ResumeStrategy.SAME_TOKEN, ResumeStrategy.SEEDED),
    (A.OMIT_FEATURE, ResumeStrategy.SAME_TOKEN, ResumeStrategy.SEEDED),
    (A.NEW_TOKEN, ResumeStrategy.NEW_TOKEN, ResumeStrategy.SEEDED),
    (A.FRESH_SESSION, ResumeStrategy.SEEDED, ResumeStrategy.SEEDED),
    (A.GIVE_UP_CONFIG, None, None),
    (A.GIVE_UP_AUTH, None, None),
    (A.NOT_ENROLLED, None, None),
]


@pytest.mark.parametrize(("action", "with_handle", "without"), LOST)
def test_after_a_loss_the_most_is_tried_that_can_work(action, with_handle, without):
    assert first_strategy(action, Handle("h", NOW, "config")) is with_handle
    assert first_strategy(action, None) is without


def test_every_action_leads_on_from_every_rung_or_gives_up():
    assert set(FALLBACKS) == set(LinkAction) == {action for action, _, _ in LOST}


WAYS = [
    (A.RETRY_NOW, [ResumeStrategy.SAME_TOKEN, ResumeStrategy.NEW_TOKEN, ResumeStrategy.SEEDED, ResumeStrategy.SEEDED]),
    (A.BACK_OFF, [ResumeStrategy.SAME_TOKEN, ResumeStrategy.NEW_TOKEN, ResumeStrategy.SEEDED, ResumeStrategy.SEEDED]),
    (A.BACK_OFF, [ResumeStrategy.EMPTY, ResumeStrategy.EMPTY]),
    (
        A.NEW_TOKEN,
        [
            ResumeStrategy.SAME_TOKEN,
            ResumeStrategy.NEW_TOKEN,
            ResumeStrategy.SEEDED,
            ResumeStrategy.EMPTY,
            ResumeStrategy.LAST,
            None,
        ],
    ),
    (
        A.FRESH_SESSION,
        [ResumeStrategy.SAME_TOKEN, ResumeStrategy.SEEDED, ResumeStrategy.EMPTY, ResumeStrategy.LAST, None],
    ),
    (A.FRESH_SESSION, [ResumeStrategy.NEW_TOKEN, ResumeStrategy.SEEDED]),
    (A.OMIT_FEATURE, [ResumeStrategy.SAME_TOKEN, ResumeStrategy.SEEDED, ResumeStrategy.EMPTY, ResumeStrategy.EMPTY]),
    (A.OMIT_FEATURE, [ResumeStrategy.NEW_TOKEN, ResumeStrategy.SEEDED]),
    (A.OFFLINE, [ResumeStrategy.SAME_TOKEN, ResumeStrategy.SAME_TOKEN]),
    (A.WAIT_QUOTA, [ResumeStrategy.NEW_TOKEN, ResumeStrategy.NEW_TOKEN]),
    (A.CLOCK_WRONG, [ResumeStrategy.SEEDED, ResumeStrategy.SEEDED]),
    (A.GIVE_UP_AUTH, [ResumeStrategy.SAME_TOKEN, None]),
    (A.GIVE_UP_CONFIG, [ResumeStrategy.EMPTY, None]),
]


@pytest.mark.parametrize(("action", "way"), WAYS)
def test_the_ladder_goes_step_by_step(action, way):
    for strategy, expected in pairwise(way):
        assert next_strategy(strategy, action) is expected


def test_the_way_up_is_never_taken():
    rungs = list(ResumeStrategy)
    for strategy in rungs:
        for action in LinkAction:
            below = next_strategy(strategy, action)
            assert below is None or rungs.index(below) >= rungs.index(strategy)


@given(
    st.lists(st.sampled_from([A.NEW_TOKEN, A.FRESH_SESSION]), min_size=5, max_size=9), st.sampled_from(ResumeStrategy)
)
def test_what_only_a_person_can_mend_is_not_tried_for_ever(actions, strategy):
    for action in actions:
        strategy = next_strategy(strategy, action)
        if strategy is None:
            return
    raise AssertionError(f"still on {strategy}")


@given(st.lists(st.sampled_from([A.RETRY_NOW, A.BACK_OFF, A.FRESH_SESSION, A.OMIT_FEATURE]), min_size=2, max_size=9))
def test_two_failures_of_the_service_with_a_handle_are_the_end_of_the_handle(actions):
    strategy: ResumeStrategy | None = ResumeStrategy.SAME_TOKEN
    for action in actions:
        assert strategy is not None
        strategy = next_strategy(strategy, action)
        if strategy is None:
            return
    assert strategy not in WITH_HANDLE
