"""The operator's commands on the database: one function for each."""

import os
import pwd
from argparse import Namespace
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sqlalchemy import Connection, Select, func, select

from appliance.errors import ExitCode, InputError
from appliance.provisioning.common.join import Claim
from appliance.provisioning.server import audit, claims, devices, policy
from appliance.provisioning.server.admin.show import Row
from appliance.provisioning.server.schema import CLAIM, DEVICE, DEVICE_KEY, POLICY, SESSION, USAGE
from appliance.provisioning.server.settings import ServerSettings
from appliance.provisioning.server.timestamps import first_day

LOGIN: Final = Path("/proc/self/loginuid")
"""The uid that logged in; sudo and su keep it. Not every kernel has it."""
_NO_LOGIN: Final = 2**32 - 1
HOUR_MS: Final = 3_600_000
DAY_MS: Final = 24 * HOUR_MS


@dataclass(frozen=True, slots=True)
class Operator:
    """Who runs a command, and when."""

    name: str
    now: int


def create_claim(connection: Connection, operator: Operator, options: Namespace) -> Claim:
    """Create a claim."""
    _known_policy(connection, options.policy)
    terms = claims.ClaimTerms(
        label=options.label or "",
        policy=options.policy,
        needs_approval=options.approval,
        uses=options.uses,
        lifetime_ms=round(options.hours * HOUR_MS),
    )
    return claims.create(connection, terms, operator.now, operator.name)


def list_claims(connection: Connection, operator: Operator, options: Namespace) -> list[Row]:
    """Return the claims, newest first, without their secrets, which are not stored."""
    columns = [column for column in CLAIM.c if column.name != "secret_sha256"]
    wanted = select(*columns).order_by(CLAIM.c.created_at.desc(), CLAIM.c.id)
    if options.open:
        is_open = CLAIM.c.revoked_at.is_(None) & (CLAIM.c.uses_left > 0) & (CLAIM.c.expires_at > operator.now)
        wanted = wanted.where(is_open)
    return _rows(connection, wanted.limit(options.limit).offset(options.skip))


def revoke_claim(connection: Connection, operator: Operator, options: Namespace) -> None:
    """Revoke a claim; raises InputError."""
    if not claims.revoke(connection, options.claim, operator.now, operator.name):
        raise InputError(f"there is no claim {options.claim} that could be revoked", ExitCode.NO_INPUT)


def show_device(connection: Connection, operator: Operator, options: Namespace) -> Row:
    """Return all about a device; raises InputError."""
    del operator
    found = _rows(connection, select(DEVICE).where(DEVICE.c.id == options.device))
    if not found:
        raise _no_device(options.device)
    listed = select(DEVICE_KEY.c.thumbprint, DEVICE_KEY.c.status).where(DEVICE_KEY.c.device_id == options.device)
    keys = ", ".join(f"{row.thumbprint} ({row.status})" for row in connection.execute(listed))
    last = select(SESSION.c.id).where(SESSION.c.device_id == options.device).order_by(SESSION.c.at.desc()).limit(1)
    hidden = "last_signature_sha256"
    about = {name: value for name, value in found[0].items() if name != hidden}
    return {**about, "keys": keys, "last_session": connection.execute(last).scalar()}


def move_device(connection: Connection, operator: Operator, options: Namespace) -> Row:
    """Approve, suspend, resume or revoke a device; raises InputError."""
    status = devices.move(connection, options.device, audit.AuditAction(options.action), operator.now, operator.name)
    if status is None:
        now = show_device(connection, operator, options)["status"]
        allowed = " or ".join(sorted(devices.MOVES[audit.AuditAction(options.action)][0]))
        raise InputError(f"{options.device} is already {now}; only {allowed} devices can be {options.action}")
    return {"id": options.device, "name": _name(connection, options.device), "status": status.value}


def give_policy(connection: Connection, operator: Operator, options: Namespace) -> Row:
    """Give a device a policy; raises InputError."""
    name = None if options.policy == "none" else options.policy
    _known_policy(connection, name)
    if not devices.give_policy(connection, options.device, name, operator.now, operator.name):
        raise _no_device(options.device)
    return {"id": options.device, "name": _name(connection, options.device), "policy": name}


def list_policies(connection: Connection, operator: Operator, options: Namespace) -> list[Row]:
    """Return the newest version of every policy."""
    del operator
    other = POLICY.alias("other")
    newest = select(func.max(other.c.version)).where(other.c.name == POLICY.c.name).scalar_subquery()
    wanted = select(POLICY).where(POLICY.c.version == newest).order_by(POLICY.c.name)
    return _rows(connection, wanted.limit(options.limit).offset(options.skip))


def set_policy(connection: Connection, operator: Operator, options: Namespace) -> Row:
    """Write a new version of a policy. Fields not among the options stay as in the version before."""
    newest = select(POLICY).where(POLICY.c.name == options.policy).order_by(POLICY.c.version.desc()).limit(1)
    before: dict[str, object] = dict(connection.execute(newest).mappings().first() or {})
    values = {name: getattr(options, name, before.get(name)) for name in policy.FIELDS}
    version = policy.add_version(connection, options.policy, values, operator.now)
    entry = audit.Entry(
        operator.now, operator.name, audit.AuditAction.POLICY_CREATED, options.policy, f"version {version}"
    )
    audit.append(connection, entry)
    return {"name": options.policy, "version": version, **values}


def list_usage(connection: Connection, operator: Operator, options: Namespace, settings: ServerSettings) -> list[Row]:
    """Return each device's conversations in the last days: seconds charged, and seconds talked."""
    first = first_day(options.days, operator.now, settings.limits.time_zone)
    sums = (func.sum(USAGE.c[name]).label(name) for name in ("sessions", "reserved_s", "reported_s"))
    joined = USAGE.join(DEVICE, USAGE.c.device_id == DEVICE.c.id)
    wanted = (
        select(DEVICE.c.id, DEVICE.c.name, *sums)
        .select_from(joined)
        .where(USAGE.c.day >= first)
        .group_by(DEVICE.c.id, DEVICE.c.name)
        .order_by(func.sum(USAGE.c.reserved_s).desc(), DEVICE.c.id)
    )
    if options.device:
        wanted = wanted.where(DEVICE.c.id == options.device)
    page = wanted.limit(options.limit).offset(options.skip)
    return [{name: _number(value) for name, value in row.items()} for row in _rows(connection, page)]


def tail_audit(connection: Connection, operator: Operator, options: Namespace) -> list[Row]:
    """Return the last entries of the audit; alerts are marked."""
    del operator
    return [
        {
            "seq": entry.seq,
            "at": entry.at,
            "actor": entry.actor,
            "action": entry.action,
            "subject": entry.subject,
            "detail": entry.detail,
            "alert": "!" if entry.action in audit.ALERTS else "",
        }
        for entry in audit.last(connection, options.count, options.skip, options.about)
    ]


def head_of_audit(connection: Connection, operator: Operator, options: Namespace) -> Row:
    """Return the mark of the last entry."""
    del operator, options
    return {"head": audit.head(connection).text()}


def _known_policy(connection: Connection, name: str | None) -> None:
    if name is not None and not _rows(connection, select(POLICY.c.name).where(POLICY.c.name == name).limit(1)):
        raise InputError(f"there is no policy {name}: make it with `policies set`", ExitCode.NO_INPUT)


def _name(connection: Connection, device: str) -> str | None:
    return connection.execute(select(DEVICE.c.name).where(DEVICE.c.id == device)).scalar()


def _no_device(device: str) -> InputError:
    return InputError(f"there is no device {device}", ExitCode.NO_INPUT)


def _rows(connection: Connection, wanted: Select[tuple[object, ...]]) -> list[Row]:
    return [dict(row) for row in connection.execute(wanted).mappings()]


def _number(value: object) -> object:
    """Return a sum as an int: PostgreSQL returns a Decimal."""
    return value if value is None or isinstance(value, str) else int(str(value))


def actor() -> str:
    """Return the user that this process runs as, and the person behind it if that is somebody else.

    The person is the login user, or if the kernel does not know it, the one whom sudo names in the environment, where
    this user could put anybody. The user itself comes from the kernel.
    """
    user = os.getuid()
    login = _login()
    if login is not None:
        return _user_name(user) if login == user else f"{_user_name(user)}, login of {_user_name(login)}"
    by_sudo = _user_number(os.environ.get("SUDO_UID", ""))
    return (
        _user_name(user) if by_sudo is None or by_sudo == user else f"{_user_name(user)}, sudo of {_user_name(by_sudo)}"
    )


def _login() -> int | None:
    try:
        number = _user_number(LOGIN.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None
    return None if number == _NO_LOGIN else number


def _user_number(text: str) -> int | None:
    digits = text.strip()
    return int(digits) if digits.isascii() and digits.isdigit() and len(digits) <= len(str(_NO_LOGIN)) else None


def _user_name(number: int) -> str:
    """Return a user's name and number, or the number alone if the system knows no name."""
    try:
        return f"{pwd.getpwuid(number).pw_name[:60]} (uid {number})"
    except (KeyError, OverflowError):
        return f"uid {number}"
