"""Scenarios: small files that say what goes wrong, and when.

A file is TOML: a ``description`` of one line, and any number of ``[[step]]`` tables. Each has ``on``, the moment that
it waits for (`steps.Moment`, with ``:2`` for the second time on a connection); ``do``, an act (`acts`) or an alteration
of the turn (`alterations`) with its own keys; and, where wanted, ``after_s`` and ``connections``. ``[expected]`` says
what a household is to notice (`expectation`); nothing is done with it here.
"""

import difflib
import tomllib
from pathlib import Path
from typing import Annotated, Final, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

from appliance.errors import ExitCode, InputError
from appliance.simulator.scenario.expectation import Expectation
from appliance.simulator.scenario.fuzz import draw
from appliance.simulator.scenario.registry import DEEDS, AnyStep

SHIPPED: Final = Path(__file__).parents[1] / "scenarios"
"""Where the scenarios are that come with the simulator."""
_SUFFIX: Final = ".toml"


class Scenario(BaseModel):
    """What happens, on one connection or several in a row."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    description: Annotated[str, Field(min_length=1, max_length=150, pattern=r"^[^\n]+$")]
    """One line: what the service does, as the client meets it."""
    step: tuple[AnyStep, ...] = ()
    expected: Expectation | None = None
    """None: nobody has said."""

    @classmethod
    def random(cls, seed: int) -> Self:
        """Return a hostile scenario, the same for the same seed."""
        return cls.model_validate({"description": f"Anything at all, drawn with seed {seed}.", "step": draw(seed)})

    def scaled(self, factor: float) -> Self:
        """Return the same scenario with every time on the clock multiplied."""
        return self.model_copy(update={"step": tuple(step.scaled(factor) for step in self.step)})


def load(name: str) -> Scenario:
    """Return a shipped scenario by its name, or one from a file by its path.

    Raises:
        InputError: There is none, or it is not a scenario; one line for each mistake.
    """
    if Path(name).suffix == _SUFFIX:
        return _read(Path(name))
    names = shipped()
    if name not in names:
        likely = difflib.get_close_matches(name, names, n=1)
        hint = f": did you mean {likely[0]}?" if likely else "; --list-scenarios lists those that there are"
        raise InputError(f"no scenario is called {name}{hint}", ExitCode.NO_INPUT)
    return _read(SHIPPED / f"{name}{_SUFFIX}")


def shipped() -> tuple[str, ...]:
    """Return the names of the scenarios that come with the simulator, in alphabetical order."""
    return tuple(sorted(path.stem for path in SHIPPED.glob(f"*{_SUFFIX}")))


def parse(text: str, source: str) -> Scenario:
    """Return the scenario in a text; ``source`` names it in errors. Raises InputError."""
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
    """Return where it is and what is wrong, in one line: ``step 2, code: Input should be a valid integer``."""
    places = [str(part) for part in error["loc"] if part not in DEEDS]
    if places[:1] == ["step"] and len(places) > 1 and places[1].isdecimal():
        places[:2] = [f"step {int(places[1]) + 1}"]
    where = ", ".join(places)
    deed = str(error.get("ctx", {}).get("tag", "")) if error["type"] == "union_tag_invalid" else ""
    if deed:
        likely = difflib.get_close_matches(deed, DEEDS, n=1)
        hint = f"did you mean {likely[0]}?" if likely else f"there are {', '.join(sorted(DEEDS))}"
        return f'{where}: no deed is called "{deed}"; {hint}'
    if error["type"] == "union_tag_not_found":
        return f"{where}: `do` is missing"
    if error["type"] == "extra_forbidden":
        return f"{where}: no such key"
    return f"{where}: {error['msg'].removeprefix('Value error, ')}" if where else error["msg"]
