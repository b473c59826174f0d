"""Does steps in their order; the first that fails undoes itself and ends it."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from appliance.doctor.finding import Finding, Severity
from appliance.errors import ApplianceError, ExitCode
from appliance.install.step import Need, Step, StepFailed


class Manner(Enum):
    """Whether anything is to change."""

    FOR_REAL = "for real"
    DRY = "dry"


class Result(Enum):
    """What became of a step."""

    KEPT = "as it was"
    CHANGED = "done"
    WOULD_CHANGE = "to do"
    LATER = "later"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Line:
    """One step in the report."""

    name: str
    result: Result
    text: str


@dataclass(frozen=True, slots=True)
class Report:
    """What became of the installation."""

    lines: Sequence[Line]
    notes: Sequence[Finding]
    exit_code: ExitCode

    def changed(self) -> bool:
        """Say whether any step has changed anything, or would."""
        return any(line.result in {Result.CHANGED, Result.WOULD_CHANGE} for line in self.lines)


class Watcher(Protocol):
    """Who follows it."""

    def begins(self, step: Step) -> None:
        """A step is being applied, which may take minutes."""

    def ended(self, line: Line) -> None:
        """A step is over."""

    def noted(self, note: Finding) -> None:
        """A step has found something before anything was changed."""


def run(steps: Sequence[Step], manner: Manner, watcher: Watcher) -> Report:
    """Do all steps, or tell what they would do; nothing that goes wrong in one of them is raised, but Ctrl-C."""
    lines: list[Line] = []
    notes: list[Finding] = []
    failure = ExitCode.OK
    for step in steps:
        line, failure = _done(step, manner, watcher)
        lines.append(line)
        watcher.ended(line)
        notes += step.notes()
        if line.result is Result.FAILED:
            break
    unfit = any(note.severity is Severity.PROBLEM for note in notes)
    return Report(lines, notes, failure or (ExitCode.UNFIT if unfit else ExitCode.OK))


def _done(step: Step, manner: Manner, watcher: Watcher) -> tuple[Line, ExitCode]:
    try:
        found = step.check()
        for note in step.notes():
            watcher.noted(note)
        if found.need is Need.NOTHING:
            return Line(step.name, Result.KEPT, found.text), ExitCode.OK
        if found.need is Need.LATER:
            return Line(step.name, Result.LATER, found.text), ExitCode.OK
        if manner is Manner.DRY:
            return Line(step.name, Result.WOULD_CHANGE, found.text), ExitCode.OK
        watcher.begins(step)
        return Line(step.name, Result.CHANGED, _applied(step)), ExitCode.OK
    except (ApplianceError, OSError) as error:
        failure = _failure(error)
        return Line(step.name, Result.FAILED, str(failure)), failure.exit_code


def _applied(step: Step) -> str:
    """Apply a step and verify it; undone again where that fails, for whatever reason."""
    try:
        step.apply()
        return step.verify()
    except BaseException as error:
        try:
            step.undo()
        except (ApplianceError, OSError) as another:
            failure = _failure(error)
            raise StepFailed(f"{failure}; and it could not be undone: {another}", failure.exit_code) from error
        raise


def _failure(error: BaseException) -> ApplianceError:
    if isinstance(error, ApplianceError):
        return error
    if isinstance(error, OSError):
        what = f"{error.filename}: {error.strerror}" if error.filename else str(error)
        return StepFailed(what, ExitCode.CANNOT_WRITE)
    return StepFailed(type(error).__name__, ExitCode.BUG)
