"""Step: this device's key, and the provisioning server's word that it may have tokens."""

import json
from pathlib import Path
from typing import Final

from appliance.errors import ExitCode
from appliance.install.defaults import SETTINGS
from appliance.install.files import read
from appliance.install.machine import STATE, Machine
from appliance.install.step import Need, Plan, Start, Step, StepFailed
from appliance.provisioning.common.join_string import unwrap, wrap

IDENTITY: Final = "identity.json"
"""What `appliance enrol` leaves in the state directory when it is done."""
MAX_JOIN_BYTES: Final = 4096


def read_join(text: str) -> str:
    """Return a join string without what surrounds it; it is not quoted where it is none.

    Raises:
        StepFailed: It is none, or has been damaged (exit code 65).
    """
    try:
        return wrap(unwrap(text))
    except ValueError as error:
        raise StepFailed(str(error), ExitCode.DATA) from None


def enrolled_as(machine: Machine) -> str | None:
    """Return what the server calls this device; None: it is not enrolled, "": its identity is damaged.

    Raises:
        PermissionError: Only root can see.
    """
    identity = read(machine.at(STATE) / IDENTITY)
    if identity is None:
        return None
    try:
        return str(json.loads(identity)["device_id"])
    except (ValueError, LookupError, TypeError, RecursionError):
        return ""


class Enrolment(Step):
    """Has the appliance enrol, as the daemon's user, once; the join string goes through a pipe.

    Args:
        machine: Where.
        appliance: The program of the release.
        join: The join string; None: there is none.
        start: When the daemon is to run; later: without a join string, it is left for later too.
    """

    name = "enrolment"
    doing = "enrolling at the provisioning server"

    def __init__(self, machine: Machine, appliance: Path, join: str | None, start: Start) -> None:
        self._machine = machine
        self._appliance = appliance
        self._join = join
        self._start = start
        self._said = ""

    def is_enrolled(self) -> bool | None:
        """Say whether the device is enrolled; None: only root can see."""
        try:
            return enrolled_as(self._machine) is not None
        except PermissionError:
            return None

    def check(self) -> Plan:
        """Look for the identity; raises StepFailed where a join string is needed and there is none."""
        enrolled = self.is_enrolled()
        if enrolled:
            device = enrolled_as(self._machine)
            told = f"enrolled, as {device}" if device else "its identity is damaged: appliance forget, and enrol again"
            return Plan(Need.NOTHING, told)
        if self._join is None and self._start is Start.LATER:
            return Plan(Need.LATER, "appliance enrol, when the machine is in its place")
        return Plan(Need.CHANGE, "enrol with the join string" + ("" if enrolled is False else ", if not done yet"))

    def apply(self) -> None:
        """Enrol; raises StepFailed with the appliance's own words and exit code."""
        if self._join is None:
            raise StepFailed("a join string is needed: give --join-file", ExitCode.USAGE)
        command = (self._appliance, "enrol", "--config", self._machine.at(SETTINGS), "--state", self._machine.at(STATE))
        answer = self._machine.run_as_service(*command, "--join-file", "-", said=self._join + "\n")
        if answer.code:
            raise StepFailed(answer.reason(), answer.exit_code())
        self._said = answer.output.strip().partition("\n")[0]

    def verify(self) -> str:
        """Look for the identity, and tell what the appliance has said: an operator may have to approve the device."""
        found = super().verify()
        return self._said or found

    def undo(self) -> None:
        """Leave the key: with it, another attempt is the same device to the server."""
