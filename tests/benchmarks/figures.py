"""Figures with their goals, printed as a table for people and as a document for programs."""

import json
import operator
import os
import platform
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.table import Table

COMPARED: Final[dict[str, Callable[[float, float], bool]]] = {"<=": operator.le, ">=": operator.ge, "=": operator.eq}


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured number; its name stays from one version to the next."""

    name: str
    value: float
    unit: str
    goal: str | None = None
    """Such as ``<= 35``; None for a figure that is only reported."""
    reference: str = ""
    """Measurement, in the same run, of the implementation to compare with."""
    ratio: float | None = None
    """Value over that of the reference."""

    @property
    def holds(self) -> bool | None:
        """Whether the goal is met; None without one."""
        if self.goal is None:
            return None
        found = re.fullmatch(r"(<=|>=|=) ([\d.]+)", self.goal)
        if found is None:
            raise ValueError(f"{self.name}: no goal: {self.goal}")
        return COMPARED[found[1]](self.value, float(found[2]))

    def document(self) -> dict[str, object]:
        """Return it as `DESIGN.md` has it."""
        return {
            "name": self.name,
            "value": round(self.value, 3),
            "unit": self.unit,
            "goal": self.goal,
            "reference": self.reference,
            "ratio": None if self.ratio is None else round(self.ratio, 3),
            "holds": self.holds,
        }


def compared(name: str, value: float, unit: str, goal: str | None, reference: tuple[str, float]) -> Figure:
    """Return a figure next to what another way needed in the same run; ``reference`` is its name and its value."""
    other, measured = reference
    return Figure(name, value, unit, goal, f"{other} {measured:.4g}", value / measured if measured else None)


def machine() -> str:
    """Return what it was measured on."""
    return f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}"


def table(part: str, figures: Sequence[Figure]) -> Table:
    """Return the figures for people."""
    rows = Table(title=f"{part}, {machine()}", title_justify="left", box=None, pad_edge=False)
    rows.add_column("figure", no_wrap=True)
    rows.add_column("value", justify="right", no_wrap=True)
    rows.add_column("goal", justify="right", no_wrap=True)
    rows.add_column("holds")
    rows.add_column("reference in the same run")
    rows.add_column("ratio", justify="right")
    for one in figures:
        holds = {True: "yes", False: "[red]no[/]", None: ""}[one.holds]
        ratio = "" if one.ratio is None else f"{one.ratio:.2g}"
        rows.add_row(one.name, f"{one.value:.4g} {one.unit}", one.goal or "", holds, one.reference, ratio)
    return rows


def report(part: str, figures: Sequence[Figure], console: Console, path: Path | None) -> None:
    """Print the figures, and write them to ``path``."""
    console.print(table(part, figures))
    if path is not None:
        document = {"part": part, "machine": machine(), "figures": [one.document() for one in figures]}
        path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
