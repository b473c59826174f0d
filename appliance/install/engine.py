"""Runs steps in order; the first that fails is undone, and ends the installation."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from appliance.doctor.finding import Finding, Severity
from appliance.errors import ApplianceError, ExitCode
from appliance.install.step import Need, Step, StepFailed


class Result(Enum):
    """The result of a step."""

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
    """The result of the installation."""

    lines: Sequence[Line]
    notes: Sequence[Finding]
    exit_code: ExitCode

    def changed(self) -> bool:
        """Return whether any step has changed anything, or would."""
        return any(line.result in {Result.CHANGED, Result.WOULD_CHANGE} for line in self.lines)


class Listener(Protocol):
    """Follows the installation."""

    def step_started(self, step: Step) -> None:
        """A step is being applied, which may take minutes."""

    def step_ended(self, line: Line) -> None:
        """A step is over."""

    def found(self, note: Finding) -> None:
        """A step has found something before anything was changed."""


def run(steps: Sequence[Step], listener: Listener, *, dry_run: bool) -> Report:
    """Run all steps, or only plan them. Errors go into the report; only Ctrl-C is raised."""
    lines: list[Line] = []
    notes: list[Finding] = []
    failure = ExitCode.OK
    for step in steps:
        line, failure = _run_step(step, listener, dry_run=dry_run)
        lines.append(line)
        listener.step_ended(line)
        notes += step.notes()
        if line.result is Result.FAILED:
            break
    unfit = any(note.severity is Severity.PROBLEM for note in notes)
    return Report(lines, notes, failure or (ExitCode.UNFIT if unfit else ExitCode.OK))


def _run_step(step: Step, listener: Listener, *, dry_run: bool) -> tuple[Line, ExitCode]:
    try:
        plan = step.check()
        for note in step.notes():
            listener.found(note)
        if plan.need is Need.NOTHING:
            return Line(step.name, Result.KEPT, plan.text), ExitCode.OK
        if plan.need is Need.LATER:
            return Line(step.name, Result.LATER, plan.text), ExitCode.OK
        if dry_run:
            return Line(step.name, Result.WOULD_CHANGE, plan.text), ExitCode.OK
        listener.step_started(step)
        return Line(step.name, Result.CHANGED, _applied(step)), ExitCode.OK
    except (ApplianceError, OSError) as error:
        failure = _failure(error)
        return Line(step.name, Result.FAILED, str(failure)), failure.exit_code


def _applied(step: Step) -> str:
    """Apply a step and verify it; on any failure, undo it."""
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
