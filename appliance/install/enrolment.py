"""Step: enrolment at the provisioning server."""

import json
from pathlib import Path
from typing import Final

from appliance.errors import ExitCode
from appliance.install.defaults import SETTINGS
from appliance.install.files import read
from appliance.install.machine import STATE, Machine
from appliance.install.step import Need, Plan, Step, StepFailed
from appliance.provisioning.common.join_string import unwrap, wrap

IDENTITY: Final = "identity.json"
"""Left in the state directory by `appliance enrol`."""
MAX_JOIN_BYTES: Final = 4096


def read_join(text: str) -> str:
    """Return a join string without the characters around it.

    Raises:
        StepFailed: It is malformed or damaged (exit code 65); the message does not quote it.
    """
    try:
        return wrap(unwrap(text))
    except ValueError as error:
        raise StepFailed(str(error), ExitCode.DATA) from None


def enrolled_as(machine: Machine) -> str | None:
    """Return this device's id at the server; None: it is not enrolled, "": its identity is damaged.

    Raises:
        PermissionError: Only root can read it.
    """
    identity = read(machine.at(STATE) / IDENTITY)
    if identity is None:
        return None
    try:
        return str(json.loads(identity)["device_id"])
    except (ValueError, LookupError, TypeError, RecursionError):
        return ""


class Enrolment(Step):
    """Runs `appliance enrol` as the daemon's user, once; the join string goes through a pipe.

    Args:
        machine: The machine.
        appliance: The program of the release.
        join: The join string, if there is one.
        start_now: The daemon is to run now; if not, enrolment without a join string is left for later too.
    """

    name = "enrolment"
    doing = "enrolling at the provisioning server"

    def __init__(self, machine: Machine, appliance: Path, join: str | None, *, start_now: bool) -> None:
        self._machine = machine
        self._appliance = appliance
        self._join = join
        self._start_now = start_now
        self._said = ""

    def is_enrolled(self) -> bool | None:
        """Return whether the device is enrolled; None: only root can see that."""
        try:
            return enrolled_as(self._machine) is not None
        except PermissionError:
            return None

    def check(self) -> Plan:
        """Look for the identity."""
        enrolled = self.is_enrolled()
        if enrolled:
            device = enrolled_as(self._machine)
            found = f"enrolled, as {device}" if device else "its identity is damaged: appliance forget, and enrol again"
            return Plan(Need.NOTHING, found)
        if self._join is None and not self._start_now:
            return Plan(Need.LATER, "run appliance enrol once the machine is in its place")
        return Plan(Need.CHANGE, "enrol with the join string" + ("" if enrolled is False else ", if not done yet"))

    def apply(self) -> None:
        """Enrol; raises StepFailed with the message and exit code of `appliance enrol`."""
        if self._join is None:
            raise StepFailed("a join string is needed: give --join-file", ExitCode.USAGE)
        command = (self._appliance, "enrol", "--config", self._machine.at(SETTINGS), "--state", self._machine.at(STATE))
        result = self._machine.run_as_service(*command, "--join-file", "-", stdin=self._join + "\n")
        if result.code:
            raise StepFailed(result.reason(), result.exit_code())
        self._said = result.output.strip().partition("\n")[0]

    def verify(self) -> str:
        """Look for the identity; return the output of `appliance enrol`, as the device may need approval."""
        found = super().verify()
        return self._said or found

    def undo(self) -> None:
        """Keep the key: with it, the next attempt is the same device to the server."""
