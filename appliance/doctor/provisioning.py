"""Checks of who this device is to its provisioning server; they look into the state directory and ask nobody."""

import json
from typing import Final

from appliance.doctor.finding import Check, Finding, Severity
from appliance.errors import ConfigurationError
from appliance.provisioning.drawer import Drawer, state_directory
from appliance.provisioning.enrolment import STANDING_FILE
from appliance.provisioning.identity import credentials
from appliance.settings import Settings


def enrolment(settings: Settings) -> Finding:
    """Tell whether there is an identity, whole and readable."""
    try:
        own = credentials(settings.provisioning, Drawer(state_directory()))
    except ConfigurationError as error:
        return Finding("enrolment", Severity.PROBLEM, str(error), "appliance enrol; as root, to see all that is there")
    return Finding("enrolment", Severity.OK, f"{own.device_id} at {own.url}")


def standing(_: Settings) -> Finding:
    """Tell what the server has last said of this device."""
    try:
        said = json.loads(Drawer(state_directory()).read(STANDING_FILE) or "{}")
    except ConfigurationError as error:
        return Finding("provisioning", Severity.NOTE, str(error))
    except (ValueError, RecursionError):
        said = {}
    if not isinstance(said, dict) or not said:
        return Finding("provisioning", Severity.NOTE, "the daemon has not heard of the server yet")
    quota = said.get("quota")
    quota = quota if isinstance(quota, dict) else {}
    parts = [f"{said.get('status') or 'served'}, as of {said.get('at')}"]
    parts += [f"{quota[name]} {unit} left" for name, unit in _LEFT.items() if quota.get(name) is not None]
    severity = Severity.OK if said.get("status") in (None, "active") else Severity.PROBLEM
    return Finding("provisioning", severity, "; ".join(parts), "" if severity is Severity.OK else _ADVICE)


_LEFT: Final = {"sessions_left_today": "sessions of today", "minutes_left_month": "minutes of this month"}
_ADVICE: Final = "ask who runs the provisioning server"

CHECKS: Final[tuple[Check, ...]] = (enrolment, standing)
