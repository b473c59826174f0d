"""Step: the release tests itself on this machine, before it is put to work."""

import json
from collections.abc import Sequence
from typing import Final

from appliance.doctor.finding import Finding, Severity
from appliance.errors import ExitCode
from appliance.install.defaults import SETTINGS
from appliance.install.enrolment import enrolled_as
from appliance.install.files import read, write
from appliance.install.machine import Machine
from appliance.install.release import Release
from appliance.install.service import UNIT
from appliance.install.step import Need, Plan, Start, Step, StepFailed

PASSED: Final = "self-test-passed"
"""A file in a release that has passed; it holds what the server called the device then."""


class SelfTest(Step):
    """Runs `appliance selftest` of a release as the daemon's user, until it has passed, and again for a new identity.

    What it finds wrong is told and tested again the next time, but does not end the installation: the daemon waits for
    cards, network and server, and shows what is missing. Only a release that cannot test itself is a failure.
    """

    name = "self-test"
    doing = "testing card, token and Live session"

    def __init__(self, machine: Machine, release: Release, start: Start) -> None:
        self._machine = machine
        self._release = release
        self._start = start
        self._notes: list[Finding] = []

    def check(self) -> Plan:
        """Look whether this release has passed, as the device that this is."""
        if self._has_passed():
            return Plan(Need.NOTHING, "passed")
        if self._start is Start.LATER:
            return Plan(Need.LATER, "appliance selftest, when the machine is in its place")
        return Plan(Need.CHANGE, "test card, token and Live session")

    def apply(self) -> None:
        """Test, while the daemon does not run: it has the card, and signs requests with the same key."""
        runs = self._machine.ask("systemctl", "is-active", UNIT).code == 0
        try:
            if runs:
                self._machine.run("systemctl", "stop", UNIT)
            self._test()
        finally:
            if runs:
                self._machine.run("systemctl", "start", UNIT)

    def verify(self) -> str:
        """Tell whether all was well."""
        wrong = [note.name for note in self._notes if note.severity is Severity.PROBLEM]
        return f"problem with: {', '.join(wrong)}" if wrong else "passed"

    def undo(self) -> None:
        """Do nothing: nothing was changed."""

    def _test(self) -> None:
        command = (self._release.appliance, "selftest", "--json", "--config", self._machine.at(SETTINGS))
        answer = self._machine.run_as_service(*command)
        if answer.code not in {ExitCode.OK, ExitCode.UNFIT}:
            raise StepFailed(answer.reason(), answer.exit_code())
        self._notes = [
            Finding(found["name"], Severity(found["severity"]), found["found"], found["advice"])
            for found in json.loads(answer.output)
        ]
        if answer.code == ExitCode.OK:
            write(self._release.folder / PASSED, (enrolled_as(self._machine) or "").encode())

    def _has_passed(self) -> bool:
        passed_as = read(self._release.folder / PASSED)
        try:
            return passed_as is not None and passed_as.decode() == enrolled_as(self._machine)
        except PermissionError:
            return True

    def notes(self) -> Sequence[Finding]:
        """Return what was found."""
        return self._notes
