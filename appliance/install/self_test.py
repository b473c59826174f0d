"""Step: the release tests itself on this machine, before it is started."""

import json
from collections.abc import Sequence
from typing import Final

from appliance.doctor.finding import Finding, Severity
from appliance.errors import ExitCode
from appliance.install.defaults import SETTINGS
from appliance.install.enrolment import enrolled_as
from appliance.install.files import read, write
from appliance.install.machine import CommandResult, Machine
from appliance.install.release import Release
from appliance.install.service import UNIT
from appliance.install.step import Need, Plan, Step, StepFailed

PASSED: Final = "self-test-passed"
"""A file in a release that has passed; it holds the device's id at the server."""
_CARDS: Final = frozenset({"microphone", "speaker"})
_VERDICT: Final = "interrupting"
"""The names of findings: of the cards, and of what counts of the loop."""


class SelfTest(Step):
    """Runs `appliance selftest` of a release as the daemon's user, until it has passed, and again for a new identity.

    Problems are reported and tested again the next time, but do not fail the installation: the daemon waits for cards,
    network and server, and shows what is missing. Only a release that cannot test itself is a failure.

    With both cards it also measures how well the appliance can be interrupted by speaking: `appliance doctor --loop`.
    """

    name = "self-test"
    doing = "testing card, token and Live session"

    def __init__(self, machine: Machine, release: Release, *, start_now: bool) -> None:
        self._machine = machine
        self._release = release
        self._start_now = start_now
        self._notes: list[Finding] = []

    def check(self) -> Plan:
        """Check whether this release has passed with the present identity."""
        if self._has_passed():
            return Plan(Need.NOTHING, "passed")
        if not self._start_now:
            return Plan(Need.LATER, "run appliance selftest once the machine is in its place")
        return Plan(Need.CHANGE, "test card, token and Live session")

    def apply(self) -> None:
        """Test while the daemon is stopped: it holds the sound cards and the device's key."""
        runs = self._machine.query("systemctl", "is-active", UNIT).code == 0
        try:
            if runs:
                self._machine.run("systemctl", "stop", UNIT)
            self._test()
        finally:
            if runs:
                self._machine.run("systemctl", "start", UNIT)

    def verify(self) -> str:
        """Return the problems that were found."""
        wrong = [note.name for note in self._notes if note.severity is Severity.PROBLEM]
        return f"problem with: {', '.join(wrong)}" if wrong else "passed"

    def undo(self) -> None:
        """Do nothing: nothing has changed."""

    def _test(self) -> None:
        command = (self._release.appliance, "selftest", "--json", "--config", self._machine.at(SETTINGS))
        result = self._machine.run_as_service(*command)
        if result.code not in {ExitCode.OK, ExitCode.UNFIT}:
            raise StepFailed(result.reason(), result.exit_code())
        self._notes = _findings(result)
        if not any(note.name in _CARDS and note.severity is Severity.PROBLEM for note in self._notes):
            self._notes += self._measure_loop()
        if result.code == ExitCode.OK:
            write(self._release.folder / PASSED, (enrolled_as(self._machine) or "").encode())

    def _measure_loop(self) -> list[Finding]:
        """Return the verdict of `appliance doctor --loop`, or why there is none: a note, never a failure."""
        command = (self._release.appliance, "doctor", "--loop", "--json", "--config", self._machine.at(SETTINGS))
        result = self._machine.run_as_service(*command)
        if result.code != ExitCode.OK:
            return [Finding(_VERDICT, Severity.NOTE, f"not measured: {result.reason()}", "appliance doctor --loop")]
        return [finding for finding in _findings(result) if finding.name == _VERDICT]

    def _has_passed(self) -> bool:
        passed_as = read(self._release.folder / PASSED)
        try:
            return passed_as is not None and passed_as.decode() == enrolled_as(self._machine)
        except PermissionError:
            return True

    def notes(self) -> Sequence[Finding]:
        """Return the findings."""
        return self._notes


def _findings(result: CommandResult) -> list[Finding]:
    """Return the findings that a command has printed as JSON."""
    return [
        Finding(found["name"], Severity(found["severity"]), found["found"], found["advice"])
        for found in json.loads(result.output)
    ]
