"""Scenario files: what they may say, and how a mistake is named."""

from pathlib import Path
from typing import get_args

import pytest

from appliance.core.events import Trouble
from appliance.core.state import State
from appliance.errors import ExitCode, InputError
from appliance.simulator.scenario.connection_faults import GoAway
from appliance.simulator.scenario.expectation import Action, Expectation
from appliance.simulator.scenario.file import SHIPPED, Scenario, load, parse, shipped
from appliance.simulator.scenario.registry import FAULTS
from appliance.simulator.scenario.steps import Trigger, TriggerPoint

GOOD = """
description = "Ends."
[[step]]
on = "reply:2"
after_s = 0.5
do = "close"
code = 1011
connections = [1, 3]
"""


def test_a_step_says_when_where_and_what():
    [step] = parse(GOOD, "good.toml").step
    assert (step.do, step.on, step.after_s) == ("close", Trigger(TriggerPoint.REPLY, 2), 0.5)
    assert [number for number in range(1, 5) if step.applies_to(number)] == [1, 3]


def test_a_step_is_for_the_first_connection_unless_it_says_otherwise():
    [first] = parse(GOOD.replace("connections = [1, 3]", ""), "x").step
    [every] = parse(GOOD.replace("[1, 3]", '"all"'), "x").step
    assert [first.applies_to(1), first.applies_to(2)] == [True, False]
    assert [every.applies_to(1), every.applies_to(2)] == [True, True]


def test_scaling_multiplies_every_time_on_the_clock_and_nothing_else():
    scenario = parse(GOOD.replace('"close"\ncode = 1011', '"go_away"\ntime_left_s = 4'), "x")
    [step] = scenario.scaled(0.25).step
    assert step == GoAway(do="go_away", on=step.on, after_s=0.125, time_left_s=1.0, code=1011, connections=(1, 3))
    [held] = load("setup_ignored").scaled(0.1).step
    assert held.model_dump()["for_s"] is None


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        (('"close"', '"clos"'), 'bad.toml: step 1: unknown fault "clos"; did you mean close?'),
        (('"close"', '"explode"'), 'bad.toml: step 1: unknown fault "explode"; expected one of bur'),
        (('do = "close"\n', ""), "bad.toml: step 1: `do` is missing"),
        (("code = 1011\n", ""), "bad.toml: step 1, code: Field required"),
        (("1011", '"soon"'), "bad.toml: step 1, code: Input should be a valid integer"),
        (("1011", "99"), "bad.toml: step 1, code: Input should be greater than or equal to 1000"),
        (("1011", "1006"), "bad.toml: step 1, code: a close frame cannot carry this code; for 1006, use `drop`"),
        (("code", "time = 1\ncode"), "bad.toml: step 1, time: unknown key"),
        (("reply:2", "replies"), "bad.toml: step 1, on: unknown trigger; expected one of connect, "),
        (("reply:2", "reply:0"), "bad.toml: step 1, on: the colon must be followed by a number from 1, as in reply:2"),
        (("reply:2", "connect"), "bad.toml: step 1: `close` works on ready, reply, setup, speech, "),
        (("0.5", "-1"), "bad.toml: step 1, after_s: Input should be greater than or equal to 0"),
        (("[1, 3]", "[0]"), "bad.toml: step 1, connections"),
        (('"Ends."', '""'), "bad.toml: description: String should have at least 1 character"),
        (("[[step]]", "[[steps]]"), "bad.toml: steps: unknown key"),
        (("[[step]]", "[[step"), "bad.toml is not TOML"),
    ],
)
def test_a_mistake_is_named_with_its_place(changed: tuple[str, str], words: str):
    with pytest.raises(InputError) as caught:
        parse(GOOD.replace(*changed), "bad.toml")
    assert str(caught.value).startswith(words)
    assert caught.value.exit_code == ExitCode.DATA


def test_a_change_of_the_turn_happens_when_it_begins_and_not_later():
    with pytest.raises(InputError, match="step 1, after_s"):
        parse('description = "x"\n[[step]]\non = "turn"\nafter_s = 1\ndo = "no_reply"\n', "x")


def test_every_mistake_has_its_line():
    with pytest.raises(InputError) as caught:
        parse(GOOD.replace("1011", "1").replace("0.5", "-1"), "bad.toml")
    assert len(str(caught.value).splitlines()) == 2


def test_a_scenario_may_say_what_a_household_is_to_notice():
    assert parse(GOOD, "x").expected is None
    said = parse(f'{GOOD}[expected]\naction = ["resume", "give up"]\nlight = ["trouble"]\nwords = "lost"', "x").expected
    assert said == Expectation(
        action=(Action.RESUME, Action.GIVE_UP), light=(State.TROUBLE,), words=Trouble.LOST, answers=None
    )


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ('action = ["explode"]', "bad.toml: expected, action, 0: Input should be 'try again', "),
        ('light = ["idle"]', "bad.toml: expected: light: only unusual states are listed: farewell, "),
        ('words = "lost"', "bad.toml: expected: words: required with the action give up"),
        ('action = ["give up"]', "bad.toml: expected: words: required with the action give up"),
        ("sound = 1", "bad.toml: expected, sound: unknown key"),
    ],
)
def test_a_mistaken_expectation_is_named(table: str, words: str):
    with pytest.raises(InputError) as caught:
        parse(f"{GOOD}[expected]\n{table}", "bad.toml")
    assert str(caught.value).startswith(words)


def test_a_scenario_is_loaded_by_name_or_from_a_file(tmp_path: Path):
    assert load("healthy") == Scenario(description="Nothing goes wrong.", expected=Expectation())
    file = tmp_path / "mine.toml"
    file.write_text(GOOD)
    assert load(str(file)) == parse(GOOD, "mine.toml")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("go_awya", "unknown scenario go_awya; did you mean go_away?"),
        ("xyz", "unknown scenario xyz; --list-scenarios"),
        ("/nowhere/x.toml", "cannot read /nowhere/x.toml"),
    ],
)
def test_what_cannot_be_loaded_is_named(name: str, words: str):
    with pytest.raises(InputError) as caught:
        load(name)
    assert str(caught.value).startswith(words)
    assert caught.value.exit_code == ExitCode.NO_INPUT


def test_a_file_that_is_no_text_is_named(tmp_path: Path):
    file = tmp_path / "x.toml"
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match="is not UTF-8"):
        load(str(file))


def test_every_fault_is_in_a_shipped_scenario_and_can_be_drawn_at_random():
    used = {step.do for name in shipped() for step in load(name).step}
    drawn = {step.do for seed in range(400) for step in Scenario.random(seed).step}
    assert used == drawn == set(FAULTS)


def test_the_folder_of_scenarios_explains_every_trigger_and_every_fault():
    page = (SHIPPED / "README.md").read_text()
    assert [name for name in (*TriggerPoint, *FAULTS) if f"`{name}`" not in page] == []


def test_every_fault_has_its_name_and_a_sentence():
    for name, kind in FAULTS.items():
        assert get_args(kind.model_fields["do"].annotation) == (name,)
        assert (kind.__doc__ or "").endswith(".")
