"""How the operator's commands answer: tables and a QR code for people, JSON for programs."""

import io
import json
import sys
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Final

import segno
from rich.console import Console
from rich.table import Table

from appliance.provisioning.server.moments import moment

Row = Mapping[str, object]
_MOMENTS: Final = ("at", "created_at", "expires_at", "last_seen_at", "revoked_at")


class Form(Enum):
    """For whom an answer is."""

    PEOPLE = "people"
    PROGRAMS = "programs"


def rows(found: Sequence[Row], form: Form) -> None:
    """Print rows that have the same columns."""
    told = [{name: _told(name, value) for name, value in row.items()} for row in found]
    if form is Form.PROGRAMS:
        _print(json.dumps(told, ensure_ascii=False))
        return
    if not told:
        _print("none")
        return
    table = Table(box=None, pad_edge=False)
    for name in told[0]:
        table.add_column(name.replace("_", " "), overflow="fold")
    for row in told:
        table.add_row(*("" if value is None else str(value) for value in row.values()))
    # Wide where nobody looks: lines that are read by programs are not broken.
    Console(width=None if sys.stdout.isatty() else 200, highlight=False, markup=False).print(table)


def one(found: Row, form: Form) -> None:
    """Print one row, its columns below one another."""
    told = {name: _told(name, value) for name, value in found.items()}
    if form is Form.PROGRAMS:
        _print(json.dumps(told, ensure_ascii=False))
        return
    width = max(len(name) for name in told)
    for name, value in told.items():
        _print(f"{name.replace('_', ' '):<{width}}  {'' if value is None else value}")


def join(text: str, about: Row, form: Form) -> None:
    """Print a join string; for people also as a QR code."""
    if form is Form.PROGRAMS:
        one({"join": text, **about}, form)
        return
    one(about, form)
    # Nothing but the join string is on the line that is copied.
    _print(f"\n{text}\n")
    code = io.StringIO()
    segno.make(text, error="m", micro=False).terminal(out=code, compact=True)
    _print(code.getvalue())


def _told(name: str, value: object) -> object:
    if name in _MOMENTS and isinstance(value, int):
        return moment(value).isoformat(timespec="seconds")
    return value.hex() if isinstance(value, bytes) else value


def _print(line: str) -> None:
    sys.stdout.write(line + "\n")
