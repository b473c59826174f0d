"""Prints the results of the operator's commands: tables and a QR code for people, JSON for programs."""

import io
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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
"""Shown in minutes, rounded up."""
_FOR_PROGRAMS: Final = frozenset({"agent", "conflicts", "created_at", "failures", "approval", "instruction"})
"""Columns left out of tables; `devices show` and ``--json`` have them."""
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


@dataclass(frozen=True, slots=True)
class CommandResult:
    """Result of a command, printed once its changes are committed."""

    found: Row | Sequence[Row] | None = None
    """One row, or several with the same columns."""
    join: Join | None = None
    """Join string of a new claim. It contains the secret, which is never shown again."""
    code: ExitCode = ExitCode.OK


def print_result(result: CommandResult, *, as_json: bool) -> None:
    """Print a result.

    Raises:
        InputError: The output cannot be written.
    """
    if result.join is not None and isinstance(result.found, Mapping):
        _join(result.join.text(), result.found, as_json=as_json)
    elif isinstance(result.found, Mapping):
        _one(result.found, as_json=as_json)
    elif result.found is not None:
        _rows(result.found, as_json=as_json)


def _rows(found: Sequence[Row], *, as_json: bool) -> None:
    printable = [_printable(row) for row in found]
    if as_json:
        show_json(printable)
        return
    if not printable:
        show_text("none")
        return
    if "seq" in printable[0]:
        show_text("\n".join(map(_entry, found)))
    else:
        show(_table(found))


def _table(found: Sequence[Row]) -> Table:
    """Return the columns that people need, in at most 80 characters; ``--json`` has the rest."""
    table = Table(box=None, pad_edge=False)
    columns = [name for name in found[0] if name not in _FOR_PROGRAMS]
    for name in columns:
        # Ids and dates are not wrapped, so that they can be copied; names and texts are.
        table.add_column(_HEADINGS.get(name, name.replace("_", " ")), overflow="fold", no_wrap=name in _WHOLE)
    for row in found:
        table.add_row(*(_short(name, row[name]) for name in columns))
    return table


def _entry(row: Row) -> str:
    """Return an audit entry in two lines."""
    detail = f": {row['detail']}" if row["detail"] else ""
    who = f"{row['alert'] or ' ':1} {row['seq']:>5} {_short('at', row['at'])} {row['action']} by {row['actor']}"
    return f"{who}\n{'':8}{row['subject']}{detail}"


def _short(name: str, value: object) -> str:
    """Return a value in the short form of a table."""
    if value is None:
        return ""
    if name in _MOMENTS and isinstance(value, int):
        return moment(value).strftime("%Y-%m-%d %H:%M")
    if name in _SECONDS and isinstance(value, int):
        return str(-(-value // 60))
    return str(value)


def _one(found: Row, *, as_json: bool) -> bool:
    printable = _printable(found)
    return show_json(printable) if as_json else show_text(_lines(printable))


def _join(text: str, about: Row, *, as_json: bool) -> None:
    """Print a join string; for people also as a QR code."""
    if as_json:
        read = _one({"join": text, **about}, as_json=as_json)
    else:
        # The join string has a line to itself, so that it can be copied.
        read = show_text(f"{_lines(_printable(about))}\n\n{text}\n")
    if not read or sys.stdout is None:
        raise InputError("the output cannot be written: it was closed", ExitCode.CANNOT_WRITE)
    if not as_json:
        code = io.StringIO()
        segno.make(text, error="m", micro=False).terminal(out=code, compact=True)
        show_text(code.getvalue())


def _lines(printable: Row) -> str:
    """Return a row with one column in each line."""
    width = max(len(name) for name in printable)
    return "\n".join(
        f"{name.replace('_', ' '):<{width}}  {'' if value is None else value}" for name, value in printable.items()
    )


def _printable(row: Row) -> dict[str, object]:
    return {name: _value(name, value) for name, value in row.items()}


def _value(name: str, value: object) -> object:
    if name in _MOMENTS and isinstance(value, int):
        return moment(value).isoformat(timespec="seconds")
    return value.hex() if isinstance(value, bytes) else value
