"""The light's language: complete, distinguishable without colour, gentle, and never dark while audio may leave."""

from itertools import combinations, pairwise

from appliance.core.events import Fault, Trouble
from appliance.core.state import BargeIn, Context, Gate, Mode, Policy, State, Talk, gate
from appliance.indicator.patterns import BLINKS, OTHER_BLINKS, PATTERNS, Motion, Pattern, describe, look_at, pattern_of

KINDS = [(State.TROUBLE, kind) for kind in Trouble] + [(State.FAULT, kind) for kind in Fault]
EVERYTHING = [(state, None) for state in State] + KINDS


def levels(pattern: Pattern, seconds: float = 12.0, step: float = 0.005) -> list[float]:
    return [pattern.level(index * step) for index in range(int(seconds / step))]


def test_every_state_has_a_pattern_and_every_kind_a_number_of_blinks():
    assert set(PATTERNS) == set(State)
    assert set(BLINKS) == {*Trouble, *Fault}


ASKED = {
    "see to the network": {Trouble.NETWORK, Trouble.CLOCK},
    "ask the installer": {Trouble.REFUSED, Trouble.NOT_ENROLLED, Trouble.SETTINGS},
    "wait": {Trouble.QUOTA, Trouble.CAP_SESSION, Trouble.CAP_DAY, Trouble.CAP_MONTH},
    "ask again": {Trouble.SILENT_SERVICE, Trouble.LOST, Trouble.SERVICE, Trouble.DECLINED},
}
"""Troubles, by the action that they ask of the household."""


def same(one: Trouble | Fault | None, other: Trouble | Fault | None) -> bool:
    return any({one, other} <= kinds for kinds in ASKED.values())


def test_all_looks_differ_without_looking_at_the_colour_except_those_that_ask_the_same():
    rhythms = {subject: levels(pattern_of(*subject)) for subject in EVERYTHING}
    for one, other in combinations(EVERYTHING, 2):
        assert (rhythms[one] == rhythms[other]) == same(one[1], other[1]), (one, other)
    assert set().union(*ASKED.values()) == set(Trouble)


def test_the_kind_is_told_by_the_number_of_blinks_in_a_period():
    for state, kind in KINDS:
        pattern = pattern_of(state, kind)
        shown = levels(pattern, pattern.period_s)
        assert shown[0] == pattern.high
        rises = 1 + sum(before < after for before, after in pairwise(shown))
        assert rises == BLINKS[kind] != OTHER_BLINKS[state]


def test_a_pause_longer_than_a_blink_separates_the_counts():
    for state, kind in [*KINDS, (State.TROUBLE, None), (State.FAULT, None), (State.RECONNECTING, None)]:
        pattern = pattern_of(state, kind)
        assert pattern.period_s - pattern.count * 0.4 >= 0.8


def test_a_kind_changes_nothing_in_other_states():
    assert pattern_of(State.IDLE, Fault.BUTTON) == PATTERNS[State.IDLE]


def contexts() -> list[Context]:
    return [
        Context(policy=Policy(barge_in=barge_in), state=state, mode=mode, talk=talk)
        for state in State
        for mode in Mode
        for talk in Talk
        for barge_in in BargeIn
    ]


def test_the_light_is_never_dark_while_audio_leaves_or_is_held():
    sending = {context.state for context in contexts() if gate(context) is not Gate.CLOSED}
    assert State.LISTENING in sending
    for state in sending:
        assert min(levels(PATTERNS[state])) >= 0.2, state


def test_nothing_flashes_more_than_three_times_in_a_second():
    for subject in EVERYTHING:
        pattern = pattern_of(*subject)
        middle = (pattern.high + pattern.low) / 2
        bright = [level > middle for level in levels(pattern)]
        rises = [index * 0.005 for index, (before, after) in enumerate(pairwise(bright)) if after and not before]
        assert all(sum(start <= rise < start + 1 for rise in rises) <= 3 for start in rises), subject


def test_every_state_but_idle_and_stopped_begins_bright():
    for state in set(State) - {State.IDLE, State.STOPPED}:
        look = look_at(state, 0.0)
        assert max(look.red, look.green, look.blue) >= 0.8, state


def test_a_ready_appliance_shows_a_faint_light_and_a_stopped_one_none():
    idle, stopped = look_at(State.IDLE, 5.0), look_at(State.STOPPED, 5.0)
    assert 0 < max(idle.red, idle.green, idle.blue) < 0.1
    assert (stopped.red, stopped.green, stopped.blue) == (0, 0, 0)


def test_levels_stay_in_range():
    for subject in EVERYTHING:
        assert all(0 <= level <= 1 for level in levels(pattern_of(*subject)))


def test_only_off_and_steady_patterns_do_not_move():
    for pattern in PATTERNS.values():
        assert pattern.moves == (len(set(levels(pattern))) > 1)
        assert pattern.moves == (pattern.motion not in {Motion.OFF, Motion.STEADY})


def test_the_description_has_a_row_for_every_state_and_kind():
    rows = list(describe())
    assert [row.state for row in rows if row.state not in {State.TROUBLE, State.FAULT}] == [
        state for state in State if state not in {State.TROUBLE, State.FAULT}
    ]
    assert len(rows) == len(EVERYTHING)
    assert len({row.light for row in rows}) == len(State) + len(ASKED) + len(Fault)
    assert len({row.meaning for row in rows}) == len(rows)
    assert all(row.meaning for row in rows)
    assert next(row for row in rows if row.state is State.LISTENING).light == "cyan, steady"
    assert next(row for row in rows if row.state is State.IDLE).light == "faint white, steady"
    assert next(row for row in rows if row.state is State.FAULT).light == "red, 1 blink every 4 s, never dark"
