"""How the operator's commands answer: tables and a QR code for people, JSON for programs."""

import io
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

import segno
from rich.table import Table

from appliance.console.output import show, show_json, show_text
from appliance.errors import ExitCode, InputError
from appliance.provisioning.common.join import Join
from appliance.provisioning.server.timestamps import moment

Row = Mapping[str, object]
_MOMENTS: Final = ("at", "created_at", "expires_at", "last_seen_at", "revoked_at")


_WHOLE: Final = frozenset({"id", "status", "uses_left", "sessions", "reserved_s", "reported_s", *_MOMENTS})
_SECONDS: Final = frozenset({"reserved_s", "reported_s"})
"""Shown in started minutes."""
_FOR_PROGRAMS: Final = frozenset({"agent", "conflicts", "created_at", "failures", "approval", "instruction"})
"""Columns that lists for people leave out; `devices show` and ``--json`` have them."""
_HEADINGS: Final[Mapping[str, str]] = {
    "label": "name",
    "last_seen_at": "last seen (UTC)",
    "expires_at": "expires (UTC)",
    "revoked_at": "ended (UTC)",
    "uses_left": "uses left",
    "sessions": "conversations",
    "reserved_s": "minutes",
    "reported_s": "talked",
}


class Form(Enum):
    """For whom an answer is."""

    PEOPLE = "people"
    PROGRAMS = "programs"


@dataclass(frozen=True, slots=True)
class CommandResult:
    """What a command has to say, once what it did is committed."""

    found: Row | Sequence[Row] | None = None
    """One row, or several that have the same columns."""
    join: Join | None = None
    """Of a new claim: with its secret, which is told here and never again."""
    code: ExitCode = ExitCode.OK


def print_result(given: CommandResult, form: Form) -> None:
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
    if "seq" in told[0]:
        show_text("\n".join(map(_entry, found)))
    else:
        show(_table(found))


def _table(found: Sequence[Row]) -> Table:
    """Return what people need of a list, no wider than a terminal of 80 columns; the rest is for programs."""
    table = Table(box=None, pad_edge=False)
    columns = [name for name in found[0] if name not in _FOR_PROGRAMS]
    for name in columns:
        # Whoever copies an id or a date wants it whole; names and texts are folded.
        table.add_column(_HEADINGS.get(name, name.replace("_", " ")), overflow="fold", no_wrap=name in _WHOLE)
    for row in found:
        table.add_row(*(_short(name, row[name]) for name in columns))
    return table


def _entry(row: Row) -> str:
    """Return an entry of the audit in two lines."""
    detail = f": {row['detail']}" if row["detail"] else ""
    who = f"{row['alert'] or ' ':1} {row['seq']:>5} {_short('at', row['at'])} {row['action']} by {row['actor']}"
    return f"{who}\n{'':8}{row['subject']}{detail}"


def _short(name: str, value: object) -> str:
    """Return a value as a table has room for it."""
    if value is None:
        return ""
    if name in _MOMENTS and isinstance(value, int):
        return moment(value).strftime("%Y-%m-%d %H:%M")
    if name in _SECONDS and isinstance(value, int):
        return str(-(-value // 60))
    return str(value)


def _one(found: Row, form: Form) -> bool:
    told = _told(found)
    return show_json(told) if form is Form.PROGRAMS else show_text(_lines(told))


def _join(text: str, about: Row, form: Form) -> None:
    """Print a join string; for people also as a QR code."""
    if form is Form.PROGRAMS:
        read = _one({"join": text, **about}, form)
    else:
        # Nothing but the join string is on the line that is copied.
        read = show_text(f"{_lines(_told(about))}\n\n{text}\n")
    if not read or sys.stdout is None:
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
