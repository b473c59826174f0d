"""The glossary and the map of the house name what is there, and the glossary explains what the code's names end in."""

import ast
import importlib
import re
import tomllib
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
GLOSSARY = (ROOT / "docs" / "glossary.md").read_text()
ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text()
TERMS = re.findall(r"^\| ([^|]+?) \| [^|]+ \| `([\w.]+)` \|$", GLOSSARY, re.MULTILINE)


PLAIN = set(
    re.findall(
        r"\w+",
        """
        algorithm allowance announce appliance burst callbacks changes cleanup colour compression cost credentials
        decision defaults demo dependencies direction drop encoding enter entry expectation display fill filler form
        freeze gain interaction interrupt interruption journal jwk listener loudness metrics model notable operator pace
        packages parser peer picture preconditions price quality ready recording recover refuse registry release rule
        send severity start stopwatch think
        """,
    )
)
"""Single words that name a class and mean what they mean anywhere."""


def _singular(noun: str) -> str:
    if noun.endswith("ies"):
        return f"{noun[:-3]}y"
    return noun[:-1] if noun.endswith("s") and not noun.endswith(("ss", "us")) else noun


EXPLAINED = {_singular(word.lower()) for term, _ in TERMS for word in [*re.split(r"[ -]", term), term.replace("-", "")]}


def _head_nouns() -> dict[str, list[str]]:
    """Return the last words of the public classes' names. What ends in "ed" is an event, and explains itself."""
    nouns = defaultdict(list)
    for path in (ROOT / "appliance").rglob("*.py"):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                noun = re.findall(r"[A-Z]+(?![a-z])|[A-Z][a-z]+", node.name)[-1].lower()
                if not noun.endswith("ed"):
                    nouns[_singular(noun)].append(node.name)
    return nouns


def test_every_term_has_one_entry_and_names_something_that_exists():
    assert len(TERMS) >= 120
    assert len({term for term, _ in TERMS}) == len(TERMS)
    for term, name in TERMS:
        module, _, attribute = name.rpartition(".")
        assert hasattr(importlib.import_module(f"appliance.{module}"), attribute), (term, name)


def test_every_noun_that_ends_two_class_names_is_explained():
    unexplained = {noun: names for noun, names in _head_nouns().items() if len(names) > 1 and noun not in EXPLAINED}
    assert unexplained == {}


def test_a_class_named_by_a_single_word_is_explained_or_plain():
    singles = {noun: names for noun, names in _head_nouns().items() if any(name.istitle() for name in names)}
    plain = {_singular(word) for word in PLAIN}
    assert {noun: names for noun, names in singles.items() if noun not in EXPLAINED | plain} == {}


def test_the_floors_of_the_house_are_those_of_the_contracts():
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (layers,) = (contract["layers"] for contract in contracts if contract["name"] == "floors of the appliance")
    drawn = re.search(r"## Floors.*?```\n(.*?)```", ARCHITECTURE, re.DOTALL)
    assert drawn is not None
    floors = [re.match(r"\w+(?: · \w+)*", line) for line in drawn[1].splitlines()]
    assert [floor and floor[0].split(" · ") for floor in floors] == [layer.split(" | ") for layer in layers[1:]]


def test_the_map_of_the_house_points_to_what_is_there():
    table = ARCHITECTURE.partition("## Where to change what")[2]
    rows = re.findall(r"^\| [^|]+ \| ([^|]+) \| `([^|`]+)` \|$", table, re.MULTILINE)
    assert len(rows) >= 20
    for paths, name in rows:
        for path in re.findall(r"`([\w/.]+)`", paths):
            assert name in (ROOT / path).read_text(), (path, name)


def test_the_journeys_pass_through_files_that_exist():
    journeys = ARCHITECTURE.partition("## Four journeys")[2].partition("## Where to change what")[0]
    named = set(re.findall(r"\b[a-z_]+(?:/[a-z_]+)*\.py\b", journeys))
    assert len(named) >= 25
    missing = {path for path in named if not any((ROOT / at / path).is_file() for at in ("", "appliance"))}
    assert missing <= {"fade.py", "http.py", "position.py", "quota.py", "policy.py"}  # beside the file before them
