"""The engine: what it does with steps, above all with those that fail."""

import subprocess
import sys

import pytest

from appliance.doctor.finding import Finding, Severity
from appliance.errors import ExitCode
from appliance.install.engine import Line, Result, run
from appliance.install.step import Need, Plan, Step, StepFailed


class Watched:
    """Keeps what a person would have seen."""

    def __init__(self) -> None:
        self.lines: list[Line] = []

    def step_started(self, step: Step) -> None:
        pass

    def step_ended(self, line: Line) -> None:
        self.lines.append(line)

    def found(self, note: Finding) -> None:
        pass


class Scripted(Step):
    """A step that does as it is told, and notes what is done with it."""

    name = "scripted"
    doing = "doing as told"

    def __init__(self, fails: dict[str, BaseException] | None = None, needs: Need = Need.CHANGE) -> None:
        self._fails = fails or {}
        self._needs = needs
        self.done: list[str] = []

    def check(self) -> Plan:
        return Plan(self._needs, "what there is")

    def apply(self) -> None:
        self._do("apply")
        self._needs = Need.NOTHING

    def verify(self) -> str:
        self._do("verify")
        return super().verify()

    def undo(self) -> None:
        self._do("undo")

    def notes(self) -> list[Finding]:
        return [Finding("a", Severity.PROBLEM, "b")] if "note" in self._fails else []

    def _do(self, what: str) -> None:
        self.done.append(what)
        if what in self._fails:
            raise self._fails[what]


def full() -> OSError:
    return OSError(28, "No space left on device", "/etc/x")


@pytest.mark.parametrize("need", [Need.NOTHING, Need.LATER])
def test_a_step_without_need_is_left_alone(need):
    step = Scripted(needs=need)
    report = run([step], Watched(), dry_run=False)
    assert (step.done, report.changed(), report.exit_code) == ([], False, ExitCode.OK)


def test_a_dry_run_only_looks():
    step = Scripted()
    report = run([step, step], Watched(), dry_run=True)
    assert step.done == []
    assert [line.result for line in report.lines] == [Result.WOULD_CHANGE] * 2


@pytest.mark.parametrize("where", ["apply", "verify"])
def test_a_step_that_fails_is_undone_and_those_behind_it_are_not_begun(where):
    failing, behind, watched = Scripted({where: StepFailed("no luck", ExitCode.DATA)}), Scripted(), Watched()
    report = run([Scripted(), failing, behind], watched, dry_run=False)
    assert failing.done[-1] == "undo"
    assert behind.done == []
    assert report.exit_code == ExitCode.DATA
    assert [line.result for line in watched.lines] == [Result.CHANGED, Result.FAILED]


def test_a_full_disk_is_exit_73_and_named():
    report = run([Scripted({"apply": full()})], Watched(), dry_run=False)
    assert (report.exit_code, report.lines[0].text) == (ExitCode.CANNOT_WRITE, "/etc/x: No space left on device")


def test_a_step_that_cannot_be_undone_says_both():
    step = Scripted({"apply": StepFailed("no luck", ExitCode.DATA), "undo": full()})
    report = run([step], Watched(), dry_run=False)
    assert report.lines[0].text.startswith("no luck; and it could not be undone: ")
    assert report.exit_code == ExitCode.DATA


@pytest.mark.parametrize("end", [KeyboardInterrupt(), SystemExit(143)])
def test_what_a_signal_breaks_off_is_undone(end):
    step = Scripted({"apply": end})
    with pytest.raises(type(end)):
        run([step], Watched(), dry_run=False)
    assert step.done == ["apply", "undo"]


def test_a_step_that_was_applied_and_is_not_so_is_a_failure():
    class Idle(Scripted):
        def apply(self) -> None:
            pass

    report = run([Idle()], Watched(), dry_run=False)
    assert report.lines[0].text == "still to be done: what there is"


def test_a_problem_among_the_notes_is_exit_4():
    assert run([Scripted({"note": full()})], Watched(), dry_run=False).exit_code == ExitCode.UNFIT


def test_the_installer_does_without_the_libraries_of_the_appliance():
    """It runs before they are there (`install/requirements.txt`)."""
    blocked = "import sys; sys.modules.update(dict.fromkeys(['pydantic', 'numpy', 'google', 'cryptography', 'httpx2']))"
    done = subprocess.run([sys.executable, "-c", f"{blocked}; import appliance.install.command"], check=False)
    assert done.returncode == 0
