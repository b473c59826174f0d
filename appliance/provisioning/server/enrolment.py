"""Enrols devices."""

import logging
from dataclasses import dataclass

from sqlalchemy import Connection, Row, insert, select, update

from appliance.provisioning.common import keys
from appliance.provisioning.common.join import Claim
from appliance.provisioning.common.protocol import DeviceFacts, DeviceStatus, ProblemCode
from appliance.provisioning.server import audit, claims
from appliance.provisioning.server.admission import ACTIVE, DAY_MS, note_server_key
from appliance.provisioning.server.errors import Refusal
from appliance.provisioning.server.schema import CLAIM, DEVICE, DEVICE_KEY
from appliance.provisioning.server.timestamps import new_id

BY_CLAIM = "claim"
_REFUSED = Refusal(ProblemCode.CLAIM_INVALID)
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Applicant:
    """A device that asks to enrol, and has proved that it holds its private key."""

    claim: Claim
    key: keys.PublicKey
    facts: DeviceFacts
    name: str | None
    agent: str
    sequence: int
    at: int
    server_key: str | None = None
    """Thumbprint of the newest server key that the answer announces."""


@dataclass(frozen=True, slots=True)
class EnrolledDevice:
    """An enrolled device."""

    device_id: str
    status: DeviceStatus
    policy: str | None
    is_new: bool


def enrol(connection: Connection, applicant: Applicant) -> EnrolledDevice | Refusal:
    """Enrol a device. Every bad claim gets the same refusal, which has to be committed.

    The same claim with the same key gives the same device, even if the claim has ended since: the device may have lost
    power before it stored the first answer.
    """
    claim, now = applicant.claim, applicant.at
    genuine = claims.matches(connection, claim)
    known = _device_with(connection, keys.thumbprint(applicant.key))
    if not genuine:
        claims.count_failure(connection, claim.id, now)
        _log.info("enrolment refused: %s: not known, or the secret does not fit", claim)
        return _REFUSED
    if known is not None:
        return _enrolled_before(connection, known, applicant)
    redeemed = claims.redeem(connection, claim, now)
    if redeemed is None:
        _report_reuse(connection, claim, now)
        return _REFUSED
    return _new_device(connection, applicant, redeemed)


def _enrolled_before(
    connection: Connection, known: Row[tuple[object, ...]], applicant: Applicant
) -> EnrolledDevice | Refusal:
    status = DeviceStatus(known.status)
    if known.claim_id != applicant.claim.id or status is DeviceStatus.REVOKED:
        _log.warning("enrolment refused: %s: the key is that of device %s", applicant.claim, known.id)
        return _REFUSED
    behind = (DEVICE.c.id == known.id) & (DEVICE.c.last_sequence < applicant.sequence)
    connection.execute(update(DEVICE).where(behind).values(last_sequence=applicant.sequence))
    note_server_key(connection, known.id, applicant.server_key)
    return EnrolledDevice(known.id, status, known.policy, is_new=False)


def _new_device(connection: Connection, applicant: Applicant, redeemed: claims.RedeemedClaim) -> EnrolledDevice:
    now = applicant.at
    device_id = new_id("dev", now)
    status = DeviceStatus.PENDING if redeemed.needs_approval else DeviceStatus.ACTIVE
    connection.execute(
        insert(DEVICE).values(
            id=device_id,
            name=applicant.name or redeemed.label or None,
            status=status.value,
            origin=BY_CLAIM,
            policy=redeemed.policy,
            claim_id=applicant.claim.id,
            created_at=now,
            last_seen_at=now,
            last_sequence=applicant.sequence,
            conflicts=0,
            server_key=applicant.server_key,
            agent=applicant.agent,
            **applicant.facts.model_dump(),
        )
    )
    add_key(connection, device_id, applicant.key, ACTIVE, now)
    audit.append(
        connection, audit.Entry(now, device_id, audit.AuditAction.ENROLLED, device_id, f"claim {applicant.claim.id}")
    )
    _log.info("device %s: enrolled with %s (%s)", device_id, applicant.claim, status.value)
    return EnrolledDevice(device_id, status, redeemed.policy, is_new=True)


def add_key(connection: Connection, device_id: str, key: keys.PublicKey, status: str, now: int) -> None:
    """Insert a key of a device."""
    connection.execute(
        insert(DEVICE_KEY).values(
            thumbprint=keys.thumbprint(key),
            device_id=device_id,
            public_key=keys.public_key_text(key),
            status=status,
            created_at=now,
        )
    )


def _device_with(connection: Connection, thumbprint: str) -> Row[tuple[object, ...]] | None:
    joined = DEVICE_KEY.join(DEVICE, DEVICE_KEY.c.device_id == DEVICE.c.id)
    wanted = select(DEVICE).select_from(joined).where(DEVICE_KEY.c.thumbprint == thumbprint)
    return connection.execute(wanted).first()


def _report_reuse(connection: Connection, claim: Claim, now: int) -> None:
    """Raise an alert, once a day, if the claim was used: somebody else has read its secret."""
    found = connection.execute(select(CLAIM.c.uses_left, CLAIM.c.reused_at).where(CLAIM.c.id == claim.id)).one()
    used_up = found.uses_left == 0
    _log.info("enrolment refused: %s: %s", claim, "used before, with another key" if used_up else "expired or ended")
    if used_up and (found.reused_at is None or now - found.reused_at > DAY_MS):
        connection.execute(update(CLAIM).where(CLAIM.c.id == claim.id).values(reused_at=now))
        audit.append(connection, audit.Entry(now, "server", audit.AuditAction.CLAIM_REUSED, claim.id))
