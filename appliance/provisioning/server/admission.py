"""Authenticates requests: the signature, the sequence number and the device's status."""

import hashlib
import logging
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import Connection, Row, String, bindparam, case, select, update

from appliance.provisioning.common import keys
from appliance.provisioning.common.protocol import DeviceStatus, ProblemCode
from appliance.provisioning.common.signatures import ParsedSignature, signed_by
from appliance.provisioning.server import audit
from appliance.provisioning.server.errors import Refusal
from appliance.provisioning.server.schema import DEVICE, DEVICE_KEY, SESSION

DAY_MS: Final = 86_400_000
RETRY_MS: Final = 60_000
"""A request repeated within this time is taken as one whose answer was lost."""
ACTIVE: Final = "active"
NEXT: Final = "next"
RETIRED: Final = "retired"
REVOKED: Final = "revoked"
KNOWS_AS_BEFORE: Final = ""
"""Stands for a device that does not say which server keys it trusts."""

_KEYS: Final = select(DEVICE_KEY.c.thumbprint, DEVICE_KEY.c.public_key, DEVICE_KEY.c.status).where(
    DEVICE_KEY.c.device_id == bindparam("device"), (DEVICE_KEY.c.status == ACTIVE) | (DEVICE_KEY.c.status == NEXT)
)
_COUNT: Final = (
    update(DEVICE)
    .where(DEVICE.c.id == bindparam("device"), DEVICE.c.last_sequence < bindparam("number"))
    .values(
        last_sequence=bindparam("number"),
        last_signature_sha256=bindparam("signature"),
        last_created=bindparam("created"),
        last_seen_at=bindparam("now"),
        agent=bindparam("agent_now"),
        server_key=case(
            (bindparam("knows", type_=String) == KNOWS_AS_BEFORE, DEVICE.c.server_key),
            else_=bindparam("knows", type_=String),
        ),
    )
    .returning(DEVICE.c.status, DEVICE.c.policy, DEVICE.c.name)
)
_LOCKED: Final = select(DEVICE).where(DEVICE.c.id == bindparam("device")).with_for_update()
_ANSWERED: Final = select(SESSION.c.id).where(
    SESSION.c.device_id == bindparam("device"),
    SESSION.c.sequence == bindparam("number"),
    SESSION.c.at > bindparam("since"),
    SESSION.c.state != "refunded",
)
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class AuthenticatedDevice:
    """The device that signed a request."""

    device_id: str
    status: DeviceStatus
    policy: str | None
    name: str | None
    thumbprint: str
    """Thumbprint of the key that it signed with."""
    sequence: int


@dataclass(frozen=True, slots=True)
class AdmissionRequest:
    """The parts of a request that admission needs."""

    parsed: ParsedSignature
    agent: str
    at: int
    """When it came, in milliseconds since 1970."""
    knows: str | None = KNOWS_AS_BEFORE
    """Thumbprint of the newest server key, if the device trusts it."""


class Admission:
    """Authenticates devices, and counts sequence conflicts."""

    def __init__(self, conflicts_day: int) -> None:
        self._conflicts_day = conflicts_day
        self._dummy_key = Ed25519PrivateKey.generate().public_key()

    def admit(self, connection: Connection, request: AdmissionRequest) -> AuthenticatedDevice | Refusal:
        """Return the device that signed, and record its sequence number. Commit also if it is a refusal.

        Unknown and revoked devices, wrong keys and altered requests all get signature-invalid.
        """
        parsed = request.parsed
        device = parsed.signer.key_id
        rows = connection.execute(_KEYS, {"device": device}).all()
        index = signed_by(parsed, [_key(row.public_key) or self._dummy_key for row in rows], self._dummy_key)
        if index is None:
            _log.info("refused: %sdevice %s: the signature does not fit", "" if rows else "unknown ", device)
            return Refusal(ProblemCode.SIGNATURE_INVALID)
        digest = hashlib.sha256(parsed.signature).digest()
        counted = connection.execute(
            _COUNT,
            {
                "device": device,
                "number": parsed.signer.sequence,
                "signature": digest,
                # Not later than now: otherwise a copied key with a fast clock would hide the device's own requests.
                "created": min(parsed.created, request.at // 1000),
                "now": request.at,
                "agent_now": request.agent,
                "knows": request.knows,
            },
        ).first()
        if counted is None:
            return self._conflict(connection, request, digest)
        used = rows[index]
        if used.status == NEXT:
            _promote(connection, device, used.thumbprint, request.at)
        return AuthenticatedDevice(
            device_id=device,
            status=DeviceStatus(counted.status),
            policy=counted.policy,
            name=counted.name,
            thumbprint=used.thumbprint,
            sequence=parsed.signer.sequence,
        )

    def _conflict(self, connection: Connection, request: AdmissionRequest, digest: bytes) -> Refusal:
        """Refuse a sequence number that is not above the last, and count the conflict: two devices may share a key."""
        signer = request.parsed.signer
        device = connection.execute(_LOCKED, {"device": signer.key_id}).one()
        again = device.last_signature_sha256 == digest and device.last_sequence == signer.sequence
        if again:
            since = {"device": device.id, "number": signer.sequence, "since": request.at - RETRY_MS}
            answered = connection.execute(_ANSWERED, since).first()
            code = ProblemCode.ALREADY_MINTED if answered else ProblemCode.SEQUENCE_CONFLICT
            return Refusal(code, last_sequence=device.last_sequence)
        self._count_conflict(connection, device, request, digest)
        return Refusal(ProblemCode.SEQUENCE_CONFLICT, last_sequence=device.last_sequence)

    def _count_conflict(
        self, connection: Connection, device: Row[tuple[object, ...]], request: AdmissionRequest, digest: bytes
    ) -> None:
        """Count a sequence conflict; enough of them suspend the device.

        A replayed request is not a conflict: it was signed before the last accepted request, or has been counted.
        Nothing more is written in a day after as many conflicts as suspend a device.
        """
        if request.parsed.created < (device.last_created or 0) or digest == device.conflict_signature_sha256:
            return
        fresh = device.conflicts_since is None or request.at - device.conflicts_since > DAY_MS
        conflicts = 1 if fresh else device.conflicts + 1
        suspends = 0 < self._conflicts_day <= conflicts and device.status == DeviceStatus.ACTIVE
        if conflicts > max(self._conflicts_day, 1) and not suspends:
            return
        values = {
            "conflicts": conflicts,
            "conflicts_since": request.at if fresh else device.conflicts_since,
            "conflict_signature_sha256": digest,
        }
        numbers = f"{request.parsed.signer.sequence} after {device.last_sequence}"
        _log.warning("device %s: sequence number %s", device.id, numbers)
        _note(connection, request.at, audit.AuditAction.SEQUENCE_CONFLICT, device.id, numbers)
        if suspends:
            values["status"] = DeviceStatus.SUSPENDED.value
            _log.error("device %s: suspended: its key seems to be in use twice", device.id)
            _note(connection, request.at, audit.AuditAction.SUSPENDED, device.id, "sequence conflicts")
        connection.execute(update(DEVICE).where(DEVICE.c.id == device.id).values(**values))


def note_server_key(connection: Connection, device: str, thumbprint: str | None) -> None:
    """Record the newest server key that a device trusts."""
    connection.execute(update(DEVICE).where(DEVICE.c.id == device).values(server_key=thumbprint))


def refusal_by_status(caller: AuthenticatedDevice) -> Refusal | None:
    """Return the refusal of a pending or suspended device."""
    if caller.status is DeviceStatus.SUSPENDED:
        return Refusal(ProblemCode.DEVICE_SUSPENDED)
    if caller.status is DeviceStatus.PENDING:
        return Refusal(ProblemCode.DEVICE_PENDING)
    return None


def _promote(connection: Connection, device: str, thumbprint: str, now: int) -> None:
    """Make a device's next key its active one."""
    of_device = DEVICE_KEY.c.device_id == device
    connection.execute(update(DEVICE_KEY).where(of_device, DEVICE_KEY.c.status == ACTIVE).values(status=RETIRED))
    connection.execute(update(DEVICE_KEY).where(DEVICE_KEY.c.thumbprint == thumbprint).values(status=ACTIVE))
    _note(connection, now, audit.AuditAction.KEY_ROTATED, device, thumbprint)


def _note(connection: Connection, at: int, action: audit.AuditAction, device: str, detail: str) -> None:
    audit.append(connection, audit.Entry(at, "server", action, device, detail))


@lru_cache(maxsize=4096)
def _key(text: str) -> keys.PublicKey | None:
    """Return a stored key; None if an older server accepted it and this one would not."""
    try:
        return keys.public_key(text)
    except ValueError:
        return None
