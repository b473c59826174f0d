"""Claims: made by the operator, worth one enrolment each, known here by the hash of their secret only."""

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
"""Changes nothing; but whoever presents the same claim waits from here on, on either engine."""
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
    """What a claim is good for."""

    label: str = ""
    policy: str | None = None
    needs_approval: bool = False
    uses: int = 1
    lifetime_ms: int = 86_400_000


@dataclass(frozen=True, slots=True)
class RedeemedClaim:
    """A claim that has been used, once."""

    policy: str | None
    needs_approval: bool
    label: str


def create(connection: Connection, terms: ClaimTerms, now: int, actor: str) -> Claim:
    """Make a claim; its secret is in what is returned and nowhere else."""
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
    """End a claim; False: there is none of this id that could be ended."""
    ended = update(CLAIM).where(CLAIM.c.id == claim_id, CLAIM.c.revoked_at.is_(None)).values(revoked_at=now)
    if connection.execute(ended).rowcount == 0:
        return False
    audit.append(connection, audit.Entry(now, actor, audit.AuditAction.CLAIM_REVOKED, claim_id))
    return True


def matches(connection: Connection, claim: Claim) -> bool:
    """Say whether the secret is the claim's, whatever has become of it; an unknown one takes as long.

    Of several who present one claim at once, the others wait here.
    """
    stored: bytes | None = connection.execute(_LOCK, {"claim": claim.id}).scalar()
    return hmac.compare_digest(stored or bytes(32), _hash(claim))


def redeem(connection: Connection, claim: Claim, now: int) -> RedeemedClaim | None:
    """Use a claim once; None: it is not, or no longer, good for that. Of several at once, one is lucky."""
    row = connection.execute(_TAKE, {"claim": claim.id, "secret": _hash(claim), "now": now}).first()
    return RedeemedClaim(row.policy, bool(row.approval), row.label) if row else None


def count_failure(connection: Connection, claim_id: str, now: int) -> None:
    """Count a wrong secret; enough of them lock the claim."""
    failures = connection.execute(_FAIL, {"claim": claim_id}).scalar()
    if failures == MAX_FAILURES:
        audit.append(connection, audit.Entry(now, "server", audit.AuditAction.CLAIM_LOCKED, claim_id))


def _hash(claim: Claim) -> bytes:
    """Return what is stored of a secret: it has 80 random bits, so a fast hash keeps it."""
    return hashlib.sha256(claim.secret.encode("ascii")).digest()
