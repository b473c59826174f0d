"""Scenario files: which faults the service has, and when.

A file is TOML: a ``description`` of one line and any number of ``[[step]]`` tables. Each has ``on``, its trigger
(`steps.TriggerPoint`, with ``:2`` for the second occurrence on a connection); ``do``, the fault (`registry`) with its
own keys; and optionally ``after_s`` and ``connections``. ``[expected]`` describes the appliance's reaction
(`expectation`); the simulator ignores it. ``scenarios/README.md`` shows how to write one.
"""

import difflib
import tomllib
from pathlib import Path
from typing import Annotated, Final, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

from appliance.errors import ExitCode, InputError
from appliance.simulator.scenario.expectation import Expectation
from appliance.simulator.scenario.fuzz import random_steps
from appliance.simulator.scenario.registry import FAULTS, AnyStep

SHIPPED: Final = Path(__file__).parents[1] / "scenarios"
"""The directory of the scenarios that come with the simulator."""
_SUFFIX: Final = ".toml"


class Scenario(BaseModel):
    """The faults of one connection, or of several in a row."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    description: Annotated[str, Field(min_length=1, max_length=150, pattern=r"^[^\n]+$")]
    """One line: the service's behaviour, as the client sees it."""
    step: tuple[AnyStep, ...] = ()
    expected: Expectation | None = None
    """None: not stated."""

    @classmethod
    def random(cls, seed: int) -> Self:
        """Return a random scenario, the same for the same seed."""
        return cls.model_validate({"description": f"Random faults, seed {seed}.", "step": random_steps(seed)})

    def scaled(self, factor: float) -> Self:
        """Return the same scenario with every time on the clock multiplied."""
        return self.model_copy(update={"step": tuple(step.scaled(factor) for step in self.step)})


def load(name: str) -> Scenario:
    """Return a shipped scenario by its name, or one from a file by its path.

    Raises:
        InputError: It does not exist, or is not a scenario; one line for each mistake.
    """
    if Path(name).suffix == _SUFFIX:
        return _read(Path(name))
    names = shipped()
    if name not in names:
        likely = difflib.get_close_matches(name, names, n=1)
        hint = f"did you mean {likely[0]}?" if likely else "--list-scenarios shows the known ones"
        raise InputError(f"unknown scenario {name}; {hint}", ExitCode.NO_INPUT)
    return _read(SHIPPED / f"{name}{_SUFFIX}")


def shipped() -> tuple[str, ...]:
    """Return the names of the scenarios that come with the simulator, sorted."""
    return tuple(sorted(path.stem for path in SHIPPED.glob(f"*{_SUFFIX}")))


def parse(text: str, source: str) -> Scenario:
    """Parse a scenario; ``source`` is its name in error messages. Raises InputError."""
    try:
        return Scenario.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{source} is not TOML: {error}") from error
    except ValidationError as error:
        mistakes = [f"{source}: {_mistake(one)}" for one in error.errors(include_url=False)]
        raise InputError("\n".join(mistakes)) from error


def _read(path: Path) -> Scenario:
    try:
        return parse(path.read_text(encoding="utf-8"), path.name)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}", ExitCode.NO_INPUT) from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8") from error


def _mistake(error: ErrorDetails) -> str:
    """Return the place and the mistake in one line: ``step 2, code: Input should be a valid integer``."""
    places = [str(part) for part in error["loc"] if part not in FAULTS]
    if places[:1] == ["step"] and len(places) > 1 and places[1].isdecimal():
        places[:2] = [f"step {int(places[1]) + 1}"]
    where = ", ".join(places)
    if error["type"] == "union_tag_invalid":
        name = str(error.get("ctx", {}).get("tag", ""))
        likely = difflib.get_close_matches(name, FAULTS, n=1)
        hint = f"did you mean {likely[0]}?" if likely else f"expected one of {', '.join(sorted(FAULTS))}"
        return f'{where}: unknown fault "{name}"; {hint}'
    if error["type"] == "union_tag_not_found":
        return f"{where}: `do` is missing"
    if error["type"] == "extra_forbidden":
        return f"{where}: unknown key"
    return f"{where}: {error['msg'].removeprefix('Value error, ')}" if where else error["msg"]
