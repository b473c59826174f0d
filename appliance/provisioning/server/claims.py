"""Claims: created by the operator to enrol devices. Only the hash of a claim's secret is stored."""

import hashlib
import hmac
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, bindparam, insert, update

from appliance.provisioning.common.join import Claim, new_claim
from appliance.provisioning.server import audit
from appliance.provisioning.server.schema import CLAIM

MAX_FAILURES: Final = 20
"""Wrong secrets after which a claim is locked."""
_LOCK: Final = (
    update(CLAIM)
    .where(CLAIM.c.id == bindparam("claim"))
    .values(failures=CLAIM.c.failures)
    .returning(CLAIM.c.secret_sha256)
)
"""Changes nothing, but locks the claim's row on either engine."""
_GOOD: Final = (
    (CLAIM.c.uses_left > 0)
    & (CLAIM.c.expires_at > bindparam("now"))
    & CLAIM.c.revoked_at.is_(None)
    & (CLAIM.c.failures < MAX_FAILURES)
)
_TAKE: Final = (
    update(CLAIM)
    .where(CLAIM.c.id == bindparam("claim"), CLAIM.c.secret_sha256 == bindparam("secret"), _GOOD)
    .values(uses_left=CLAIM.c.uses_left - 1)
    .returning(CLAIM.c.policy, CLAIM.c.approval, CLAIM.c.label)
)
_FAIL: Final = (
    update(CLAIM)
    .where(CLAIM.c.id == bindparam("claim"))
    .values(failures=CLAIM.c.failures + 1)
    .returning(CLAIM.c.failures)
)


@dataclass(frozen=True, slots=True)
class ClaimTerms:
    """Conditions of a claim."""

    label: str = ""
    policy: str | None = None
    needs_approval: bool = False
    uses: int = 1
    lifetime_ms: int = 86_400_000


@dataclass(frozen=True, slots=True)
class RedeemedClaim:
    """A claim of which one use was taken."""

    policy: str | None
    needs_approval: bool
    label: str


def create(connection: Connection, terms: ClaimTerms, now: int, actor: str) -> Claim:
    """Create a claim. Its secret is in the return value and nowhere else."""
    claim = new_claim()
    connection.execute(
        insert(CLAIM).values(
            id=claim.id,
            secret_sha256=_hash(claim),
            label=terms.label,
            policy=terms.policy,
            approval=int(terms.needs_approval),
            uses_left=terms.uses,
            failures=0,
            created_at=now,
            expires_at=now + terms.lifetime_ms,
        )
    )
    audit.append(connection, audit.Entry(now, actor, audit.AuditAction.CLAIM_CREATED, claim.id, terms.label))
    return claim


def revoke(connection: Connection, claim_id: str, now: int, actor: str) -> bool:
    """Revoke a claim; False: unknown, or revoked before."""
    ended = update(CLAIM).where(CLAIM.c.id == claim_id, CLAIM.c.revoked_at.is_(None)).values(revoked_at=now)
    if connection.execute(ended).rowcount == 0:
        return False
    audit.append(connection, audit.Entry(now, actor, audit.AuditAction.CLAIM_REVOKED, claim_id))
    return True


def matches(connection: Connection, claim: Claim) -> bool:
    """Say whether the secret is the claim's, even if the claim has ended. An unknown claim takes as long.

    Several requests with one claim wait for one another here.
    """
    stored: bytes | None = connection.execute(_LOCK, {"claim": claim.id}).scalar()
    return hmac.compare_digest(stored or bytes(32), _hash(claim))


def redeem(connection: Connection, claim: Claim, now: int) -> RedeemedClaim | None:
    """Take one use of a claim; None: it is unknown, used up, expired, revoked or locked."""
    row = connection.execute(_TAKE, {"claim": claim.id, "secret": _hash(claim), "now": now}).first()
    return RedeemedClaim(row.policy, bool(row.approval), row.label) if row else None


def count_failure(connection: Connection, claim_id: str, now: int) -> None:
    """Count a wrong secret; `MAX_FAILURES` of them lock the claim."""
    failures = connection.execute(_FAIL, {"claim": claim_id}).scalar()
    if failures == MAX_FAILURES:
        audit.append(connection, audit.Entry(now, "server", audit.AuditAction.CLAIM_LOCKED, claim_id))


def _hash(claim: Claim) -> bytes:
    """Return the stored hash of a secret. It has 80 random bits, so a fast hash suffices."""
    return hashlib.sha256(claim.secret.encode("ascii")).digest()
