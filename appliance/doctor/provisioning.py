"""Checks of the device's enrolment and standing; they read the state directory and contact nobody."""

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Final

from appliance.config.schema import Settings
from appliance.doctor.finding import Check, Finding, Severity
from appliance.errors import ConfigurationError
from appliance.permissions import chmod_advice, others_may_read
from appliance.provisioning.device.enrolment import STATUS_FILE
from appliance.provisioning.device.error_policy import policy_for
from appliance.provisioning.device.identity import is_key_file, load_credentials
from appliance.storage.private_dir import PrivateDirectory, state_directory


def _utc_now() -> datetime:
    return datetime.now(UTC)


def enrolment(settings: Settings) -> Finding:
    """Check that there is an identity, complete and readable."""
    try:
        own = load_credentials(settings.provisioning, PrivateDirectory(state_directory()))
    except ConfigurationError as error:
        return Finding("enrolment", Severity.PROBLEM, str(error), "run appliance enrol; use sudo to see all files")
    return Finding("enrolment", Severity.OK, f"{own.device_id} at {own.url}")


def secrets(settings: Settings) -> Finding:
    """Check that other users can neither read keys nor list the state directory."""
    state = PrivateDirectory(state_directory())
    try:
        own = [state.path / name for name in state.names() if is_key_file(name)]
    except ConfigurationError as error:
        return Finding("secrets", Severity.NOTE, str(error), "use sudo to see all files")
    given = settings.provisioning.device_key_file
    keys = [file for file in (*own, *([given] if given else [])) if others_may_read(file)]
    if keys:
        told = f"others may read {', '.join(map(str, keys))}"
        return Finding("secrets", Severity.PROBLEM, told, f"{chmod_advice(keys[0])}, then appliance rotate-key")
    if others_may_read(state.path):
        return Finding("secrets", Severity.NOTE, f"others may list {state.path}", chmod_advice(state.path))
    return Finding("secrets", Severity.OK, "no other user may read them")


def standing(_: Settings, now: Callable[[], datetime] = _utc_now) -> Finding:
    """Report the server's last word on this device, as far as it is still valid."""
    try:
        said = json.loads(PrivateDirectory(state_directory()).read(STATUS_FILE) or "{}")
    except ConfigurationError as error:
        return Finding("provisioning", Severity.NOTE, str(error))
    except (ValueError, RecursionError):
        said = {}
    if not isinstance(said, dict) or not said:
        return Finding("provisioning", Severity.NOTE, "the daemon has not been in touch with the server yet")
    parts = [f"{said.get('status') or 'served'}, as of {said.get('at')}"]
    if said.get("status") not in (None, "active"):
        return Finding("provisioning", Severity.PROBLEM, "; ".join(parts), _ADVICE)
    refused = _refusal(_table(said, "refused"), _table(said, "quota"), now())
    if refused is not None:
        return Finding("provisioning", Severity.PROBLEM, f"{parts[0]}; {refused}", _ADVICE)
    return Finding("provisioning", Severity.OK, "; ".join([*parts, *_left(_table(said, "quota"), now())]))


def _refusal(refused: Mapping[str, object], quota: Mapping[str, object], now: datetime) -> str | None:
    """Return why the server gives this device no token now, as far as known; None if it does."""
    if refused.get("why") and not _is_over(refused.get("until"), now):
        return str(refused["why"])
    if quota.get("used_up") and not _is_over(quota.get("used_up_until"), now):
        words = policy_for(HTTPStatus.TOO_MANY_REQUESTS, str(quota["used_up"])).message.format(device="this device")
        return f"the provisioning server {words}, until {quota.get('used_up_until')}"
    return None


def _left(quota: Mapping[str, object], now: datetime) -> list[str]:
    """Return the remaining quotas; none once the day they were reported on has ended."""
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
