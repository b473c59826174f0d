"""Policies: a device's model, token lifetime, locks and quotas."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, Final

from sqlalchemy import Connection, bindparam, func, insert, select

from appliance.provisioning.common.protocol import Limits, Purpose, TokenLocks
from appliance.provisioning.server.ports import MintSpec
from appliance.provisioning.server.schema import POLICY
from appliance.provisioning.server.settings import ServerSettings

NEW_SESSION: Final[Mapping[Purpose, timedelta]] = {
    Purpose.NEW: timedelta(seconds=60),
    Purpose.RESUME: timedelta(seconds=60),
    Purpose.PREFETCH: timedelta(minutes=10),
}
"""Time in which a token can begin a session. The shorter, the less a stolen one is worth."""
_NEWEST: Final = select(POLICY).where(POLICY.c.name == bindparam("name")).order_by(POLICY.c.version.desc()).limit(1)


@dataclass(frozen=True, slots=True)
class DevicePolicy:
    """Policy of a group of devices. A limit of 0 means unlimited."""

    model: str
    voice: str | None
    language: str | None
    instruction: str | None
    tools: tuple[str, ...] | None
    max_session_s: int
    sessions_day: int
    minutes_month: int
    burst: int
    concurrent: int
    unused_day: int
    time_zone: str


FIELDS: Final = tuple(field.name for field in fields(DevicePolicy) if field.name in POLICY.c)
"""Fields that a stored policy may set; the rest comes from the server's settings."""


def default_policy(settings: ServerSettings) -> DevicePolicy:
    """Return the policy of devices without one; it also fills the fields that a policy leaves open."""
    return DevicePolicy(
        model=settings.model,
        voice=settings.lock.voice,
        language=settings.lock.language,
        instruction=settings.lock.instruction,
        tools=None,
        max_session_s=round(settings.max_session_min * 60),
        sessions_day=settings.limits.sessions_day,
        minutes_month=settings.limits.minutes_month,
        burst=settings.limits.burst,
        concurrent=settings.limits.concurrent,
        unused_day=settings.limits.unused_day,
        time_zone=settings.limits.time_zone,
    )


def policy_for(connection: Connection, name: str | None, default: DevicePolicy) -> DevicePolicy:
    """Return the newest version of the policy ``name``, with gaps filled from ``default``; or ``default`` alone."""
    row = connection.execute(_NEWEST, {"name": name}).mappings().first() if name else None
    if row is None:
        return default
    chosen: dict[str, Any] = {field: row[field] for field in FIELDS if row[field] is not None}
    if "tools" in chosen:
        chosen["tools"] = tuple(json.loads(chosen["tools"]))
    return replace(default, **chosen)


def add_version(connection: Connection, name: str, values: Mapping[str, object], now: int) -> int:
    """Write a new version of the policy ``name`` and return its number. Fields not in ``values`` stay open."""
    newest = connection.execute(select(func.max(POLICY.c.version)).where(POLICY.c.name == name)).scalar()
    version = (newest or 0) + 1
    connection.execute(insert(POLICY).values(name=name, version=version, created_at=now, **values))
    return version


def mint_spec(policy: DevicePolicy, purpose: Purpose, now: datetime, holder: str) -> MintSpec:
    """Return the token to mint for a request at ``now``."""
    new_session_expires_at = now + NEW_SESSION[purpose]
    return MintSpec(
        model=policy.model,
        new_session_expires_at=new_session_expires_at,
        expires_at=new_session_expires_at + timedelta(seconds=policy.max_session_s),
        voice=policy.voice,
        language=policy.language,
        instruction=policy.instruction,
        has_tools=policy.tools != (),
        holder=holder,
    )


@lru_cache(maxsize=256)
def token_locks(policy: DevicePolicy) -> TokenLocks:
    """Return the fields that a policy's tokens lock, as sent to devices."""
    text = json.dumps(asdict(policy), sort_keys=True)
    etag = hashlib.sha256(text.encode()).hexdigest()[:16]
    return TokenLocks(voice=policy.voice, language=policy.language, tools=policy.tools, config_etag=etag)


def announced_limits(policy: DevicePolicy) -> Limits:
    """Return a policy's limits, as sent to devices."""
    return Limits(
        sessions_day=policy.sessions_day,
        minutes_month=policy.minutes_month,
        burst=policy.burst,
        concurrent=policy.concurrent,
        max_session_s=policy.max_session_s,
    )
