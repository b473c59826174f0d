"""How the operator's commands answer: tables and a QR code for people, JSON for programs."""

import io
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

import segno
from rich.table import Table

from appliance.errors import ExitCode, InputError
from appliance.provisioning.join import Join
from appliance.provisioning.server.moments import moment
from appliance.stdout import Reader, show, show_json, show_text

Row = Mapping[str, object]
_MOMENTS: Final = ("at", "created_at", "expires_at", "last_seen_at", "revoked_at")


class Form(Enum):
    """For whom an answer is."""

    PEOPLE = "people"
    PROGRAMS = "programs"


@dataclass(frozen=True, slots=True)
class Answer:
    """What a command has to say, once what it did is committed."""

    found: Row | Sequence[Row] | None = None
    """One row, or several that have the same columns."""
    join: Join | None = None
    """Of a new claim: with its secret, which is told here and never again."""
    code: ExitCode = ExitCode.OK


def answer(given: Answer, form: Form) -> None:
    """Print an answer.

    Raises:
        InputError: The output takes no more, or nobody reads a join string.
    """
    if given.join is not None and isinstance(given.found, Mapping):
        _join(given.join.text(), given.found, form)
    elif isinstance(given.found, Mapping):
        _one(given.found, form)
    elif given.found is not None:
        _rows(given.found, form)


def _rows(found: Sequence[Row], form: Form) -> None:
    told = [_told(row) for row in found]
    if form is Form.PROGRAMS:
        show_json(told)
        return
    if not told:
        show_text("none")
        return
    table = Table(box=None, pad_edge=False)
    for name in told[0]:
        table.add_column(name.replace("_", " "), overflow="fold")
    for row in told:
        table.add_row(*("" if value is None else str(value) for value in row.values()))
    show(table)


def _one(found: Row, form: Form) -> Reader:
    told = _told(found)
    return show_json(told) if form is Form.PROGRAMS else show_text(_lines(told))


def _join(text: str, about: Row, form: Form) -> None:
    """Print a join string; for people also as a QR code."""
    if form is Form.PROGRAMS:
        reader = _one({"join": text, **about}, form)
    else:
        # Nothing but the join string is on the line that is copied.
        reader = show_text(f"{_lines(_told(about))}\n\n{text}\n")
    if reader is Reader.GONE or sys.stdout is None:
        raise InputError("the output cannot be written: nobody reads it", ExitCode.CANNOT_WRITE)
    if form is Form.PEOPLE:
        code = io.StringIO()
        segno.make(text, error="m", micro=False).terminal(out=code, compact=True)
        show_text(code.getvalue())


def _lines(told: Row) -> str:
    """Return a row with its columns below one another."""
    width = max(len(name) for name in told)
    return "\n".join(
        f"{name.replace('_', ' '):<{width}}  {'' if value is None else value}" for name, value in told.items()
    )


def _told(row: Row) -> dict[str, object]:
    return {name: _value(name, value) for name, value in row.items()}


def _value(name: str, value: object) -> object:
    if name in _MOMENTS and isinstance(value, int):
        return moment(value).isoformat(timespec="seconds")
    return value.hex() if isinstance(value, bytes) else value
