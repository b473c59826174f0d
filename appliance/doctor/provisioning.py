"""Checks of who this device is to its provisioning server; they look into the state directory and ask nobody."""

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Final

from appliance.config.schema import Settings
from appliance.doctor.finding import Check, Finding, Severity
from appliance.errors import ConfigurationError
from appliance.private import advice, others_may_read
from appliance.provisioning.device.enrolment import STANDING_FILE
from appliance.provisioning.device.error_policy import reaction
from appliance.provisioning.device.identity import credentials, is_key_file
from appliance.storage.private_dir import PrivateDirectory, state_directory


def _utc_now() -> datetime:
    return datetime.now(UTC)


def enrolment(settings: Settings) -> Finding:
    """Tell whether there is an identity, whole and readable."""
    try:
        own = credentials(settings.provisioning, PrivateDirectory(state_directory()))
    except ConfigurationError as error:
        return Finding("enrolment", Severity.PROBLEM, str(error), "appliance enrol; as root, to see all that is there")
    return Finding("enrolment", Severity.OK, f"{own.device_id} at {own.url}")


def secrets(settings: Settings) -> Finding:
    """Tell whether others on this machine may read keys, or see what the state directory holds."""
    directory = PrivateDirectory(state_directory())
    try:
        own = [directory.path / name for name in directory.names() if is_key_file(name)]
    except ConfigurationError as error:
        return Finding("secrets", Severity.NOTE, str(error), "as root, to see all that is there")
    given = settings.provisioning.device_key_file
    keys = [file for file in (*own, *([given] if given else [])) if others_may_read(file)]
    if keys:
        told = f"others may read {', '.join(map(str, keys))}"
        return Finding("secrets", Severity.PROBLEM, told, f"{advice(keys[0])}, then appliance rotate-key")
    if others_may_read(directory.path):
        return Finding("secrets", Severity.NOTE, f"others may list {directory.path}", advice(directory.path))
    return Finding("secrets", Severity.OK, "nobody else may read them")


def standing(_: Settings, now: Callable[[], datetime] = _utc_now) -> Finding:
    """Tell what the server has last said of this device, as far as it still holds."""
    try:
        said = json.loads(PrivateDirectory(state_directory()).read(STANDING_FILE) or "{}")
    except ConfigurationError as error:
        return Finding("provisioning", Severity.NOTE, str(error))
    except (ValueError, RecursionError):
        said = {}
    if not isinstance(said, dict) or not said:
        return Finding("provisioning", Severity.NOTE, "the daemon has not heard of the server yet")
    parts = [f"{said.get('status') or 'served'}, as of {said.get('at')}"]
    if said.get("status") not in (None, "active"):
        return Finding("provisioning", Severity.PROBLEM, "; ".join(parts), _ADVICE)
    refused = _refusal(_table(said, "refused"), _table(said, "quota"), now())
    if refused is not None:
        return Finding("provisioning", Severity.PROBLEM, f"{parts[0]}; {refused}", _ADVICE)
    return Finding("provisioning", Severity.OK, "; ".join([*parts, *_left(_table(said, "quota"), now())]))


def _refusal(refused: Mapping[str, object], quota: Mapping[str, object], now: datetime) -> str | None:
    """Return why the server gives this device no token at this moment, as far as it has said; None: it would."""
    if refused.get("why") and not _is_over(refused.get("until"), now):
        return str(refused["why"])
    if quota.get("used_up") and not _is_over(quota.get("used_up_until"), now):
        words = reaction(HTTPStatus.TOO_MANY_REQUESTS, str(quota["used_up"])).words.format(device="this device")
        return f"the provisioning server {words}, until {quota.get('used_up_until')}"
    return None


def _left(quota: Mapping[str, object], now: datetime) -> list[str]:
    """Return what is left of the quotas; a day that has ended since has left nothing to tell."""
    if _is_over(quota.get("resets_at"), now):
        return []
    return [f"{quota[name]} {unit} left" for name, unit in _UNITS.items() if quota.get(name) is not None]


def _table(said: Mapping[str, object], name: str) -> Mapping[str, object]:
    value = said.get(name)
    return value if isinstance(value, dict) else {}


def _is_over(moment: object, now: datetime) -> bool:
    try:
        return datetime.fromisoformat(str(moment)) <= now
    except (ValueError, TypeError):
        return False


_UNITS: Final = {"sessions_left_today": "conversations of today", "minutes_left_month": "minutes of this month"}
_ADVICE: Final = "ask who runs the provisioning server"

CHECKS: Final[tuple[Check, ...]] = (enrolment, secrets, standing)
