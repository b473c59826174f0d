"""The installation's output: drawn on a terminal, plain lines elsewhere or without rich."""

import sys
from contextlib import ExitStack, suppress
from typing import Final, Protocol

from appliance.doctor.finding import Finding, Severity
from appliance.errors import ExitCode
from appliance.install.engine import Line, Listener, Report, Result
from appliance.install.step import Step
from appliance.text import visible

_STYLES: Final = {
    Result.KEPT: "dim",
    Result.CHANGED: "green",
    Result.WOULD_CHANGE: "cyan",
    Result.LATER: "yellow",
    Result.FAILED: "bold red",
    Severity.OK: "green",
    Severity.NOTE: "yellow",
    Severity.PROBLEM: "bold red",
}
_NOTHING: Final = "Nothing to do: everything is up to date, and nothing was changed."


class Display(Listener, Protocol):
    """Shows progress and report."""

    def report(self, report: Report, *, dry_run: bool) -> None:
        """Show the report."""

    def close(self) -> None:
        """Restore the terminal."""


def display() -> Display:
    """Return the display that suits the standard output."""
    if sys.stdout.isatty():
        try:
            return _Terminal()
        except ImportError:
            pass
    return _Lines()


def summary(report: Report, *, dry_run: bool) -> str:
    """Return the last line."""
    if any(line.result is Result.FAILED for line in report.lines):
        return (
            "Not finished. The failed step was undone; what was running still is. Fix the problem and run this again."
        )
    if dry_run:
        return "Nothing was changed." if report.changed() else _NOTHING
    if report.exit_code is ExitCode.UNFIT:
        return "Installed, but the self-test found a problem: see above, fix it and run this again."
    return "Installed." if report.changed() else _NOTHING


class _Lines:
    """A line for each step that takes time, and a table."""

    def step_started(self, step: Step) -> None:
        _print(f"{step.name}: {step.doing} ...")

    def step_ended(self, line: Line) -> None:
        pass

    def found(self, note: Finding) -> None:
        _print(f"{note.name}: {note.severity.value}: {_text(note)}")

    def close(self) -> None:
        pass

    def report(self, report: Report, *, dry_run: bool) -> None:
        rows = _rows(report)
        names = max(len(name) for name, _, _ in rows)
        marks = max(len(mark.value) for _, mark, _ in rows)
        _print("")
        for name, mark, text in rows:
            _print(f"{name:{names}}  {mark.value:{marks}}  {text}")
        _print(f"\n{summary(report, dry_run=dry_run)}")


class _Terminal:
    """The same, drawn; raises ImportError where rich is not there."""

    def __init__(self) -> None:
        from appliance.console.output import SafeConsole  # noqa: PLC0415  see above

        self._console = SafeConsole(highlight=False)
        self._busy = ExitStack()

    def step_started(self, step: Step) -> None:
        self._busy.enter_context(self._console.status(f"{step.name}: {step.doing} …"))

    def step_ended(self, line: Line) -> None:
        del line
        self.close()

    def found(self, note: Finding) -> None:
        from rich.markup import escape  # noqa: PLC0415  see above

        mark = f"[{_STYLES[note.severity]}]{note.severity.value}[/]"
        self._console.print(f"{note.name}: {mark}: {escape(_text(note))}")

    def close(self) -> None:
        with suppress(OSError):  # the terminal may be gone
            self._busy.close()

    def report(self, report: Report, *, dry_run: bool) -> None:
        from rich.markup import escape  # noqa: PLC0415  see above
        from rich.table import Table  # noqa: PLC0415

        table = Table("step", "", "what", box=None, pad_edge=False)
        for name, mark, text in _rows(report):
            table.add_row(name, f"[{_STYLES[mark]}]{mark.value}[/]", escape(text))
        self._console.print()
        self._console.print(table)
        self._console.print(f"\n{summary(report, dry_run=dry_run)}")


def _rows(report: Report) -> list[tuple[str, Result | Severity, str]]:
    """Return name, result and text of steps and notes."""
    steps: list[tuple[str, Result | Severity, str]] = [(line.name, line.result, line.text) for line in report.lines]
    return steps + [(f"  {note.name}", note.severity, _text(note)) for note in report.notes]


def _text(note: Finding) -> str:
    return f"{note.found} ({note.advice})" if note.advice else note.found


def _print(text: str) -> None:
    sys.stdout.write(f"{visible(text)}\n")
    sys.stdout.flush()
