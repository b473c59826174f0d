"""Audit log of devices, claims and keys: a hash chain, in which changed or missing entries show.

Every hash covers the entry before. The last one is kept separately, which shows entries missing at the end. Whoever can
write to the database can still cut off the end, or rewrite the whole chain. A `Mark` kept elsewhere shows that: a chain
in which an entry before the mark was changed or removed does not lead to it.
"""

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from sqlalchemy import Connection, Row, bindparam, insert, select, update

from appliance.provisioning.server.schema import AUDIT, AUDIT_HEAD

BEGINNING: Final = bytes(32)
_MARK: Final = re.compile(r"(?P<seq>0|[1-9][0-9]{0,17}):(?P<hash>[0-9a-f]{64})")
_LOCK_HEAD: Final = update(AUDIT_HEAD).values(seq=AUDIT_HEAD.c.seq + 1).returning(AUDIT_HEAD.c.seq, AUDIT_HEAD.c.hash)
_HOLD_HEAD: Final = update(AUDIT_HEAD).values(seq=AUDIT_HEAD.c.seq)
_MOVE_HEAD: Final = update(AUDIT_HEAD).values(hash=bindparam("new_hash"))


class AuditAction(StrEnum):
    """Actions that are recorded."""

    CLAIM_CREATED = "claim-created"
    CLAIM_REVOKED = "claim-revoked"
    CLAIM_LOCKED = "claim-locked"
    CLAIM_REUSED = "claim-reused"
    """A used claim was presented with another key: somebody else has read it."""
    ENROLLED = "enrolled"
    APPROVED = "approved"
    SUSPENDED = "suspended"
    RESUMED = "resumed"
    REVOKED = "revoked"
    RESET = "reset"
    """By the device itself: its personal fields were deleted."""
    RENAMED = "renamed"
    DELETED = "deleted"
    POLICY_GIVEN = "policy-given"
    POLICY_CREATED = "policy-created"
    KEY_ROTATED = "key-rotated"
    SERVER_KEY_ANNOUNCED = "server-key-announced"
    SERVER_KEY_ROTATED = "server-key-rotated"
    SERVER_KEY_RESTORED = "server-key-restored"
    SERVER_KEY_DROPPED = "server-key-dropped"
    SEQUENCE_CONFLICT = "sequence-conflict"
    BACKED_UP = "backed-up"
    RESTORED = "restored"
    MOVED = "moved"


ALERTS: Final = frozenset({AuditAction.CLAIM_REUSED, AuditAction.CLAIM_LOCKED, AuditAction.SEQUENCE_CONFLICT})


@dataclass(frozen=True, slots=True)
class Entry:
    """One recorded action. ``detail`` holds no secret and no personal data."""

    at: int
    actor: str
    """A device id, "server", or "admin" and the name of the system's user."""
    action: AuditAction
    subject: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Mark:
    """The number and hash of an entry, which stand for the whole chain up to it."""

    seq: int
    """0: the beginning, before the first entry."""
    hash: bytes

    def text(self) -> str:
        """Return the text that `read_mark` reads."""
        return f"{self.seq}:{self.hash.hex()}"


def read_mark(text: str) -> Mark:
    """Parse a mark; raises ValueError."""
    found = _MARK.fullmatch(text.strip())
    if found is None:
        raise ValueError("not a mark: it is a number, a colon and 64 hexadecimal digits")
    return Mark(int(found["seq"]), bytes.fromhex(found["hash"]))


def append(connection: Connection, entry: Entry) -> None:
    """Add an entry in the caller's transaction, so that it is committed together with the action."""
    head_seq, previous = connection.execute(_LOCK_HEAD).one()
    values = {"at": entry.at, "actor": entry.actor, "action": entry.action.value, "subject": entry.subject}
    digest = _hash(previous, head_seq, entry.at, entry.actor, entry.action, entry.subject, entry.detail)
    connection.execute(insert(AUDIT).values(seq=head_seq, detail=entry.detail, hash=digest, **values))
    connection.execute(_MOVE_HEAD, {"new_hash": digest})


def lock(connection: Connection) -> None:
    """Block other writers of entries until this transaction ends."""
    connection.execute(_HOLD_HEAD)


def first_break(connection: Connection) -> int | None:
    """Return the number of the first altered or missing entry; None: the chain is intact."""
    expected, previous = 1, BEGINNING
    for row in connection.execute(select(AUDIT).order_by(AUDIT.c.seq)):
        digest = _hash(previous, row.seq, row.at, row.actor, row.action, row.subject, row.detail)
        if row.seq != expected or digest != row.hash:
            return expected
        expected, previous = expected + 1, digest
    head = connection.execute(select(AUDIT_HEAD)).one()
    return None if (head.seq, head.hash) == (expected - 1, previous) else expected


def head(connection: Connection) -> Mark:
    """Return the last entry's mark."""
    row = connection.execute(select(AUDIT_HEAD)).one()
    return Mark(row.seq, row.hash)


def leads_to(connection: Connection, mark: Mark) -> bool:
    """Say whether the mark's entry is unchanged; in an intact chain, so are all before it."""
    if mark.seq == 0:
        return mark.hash == BEGINNING
    return connection.execute(select(AUDIT.c.hash).where(AUDIT.c.seq == mark.seq)).scalar() == mark.hash


def last(
    connection: Connection, count: int, skip: int = 0, about: str | None = None
) -> Iterator[Row[tuple[object, ...]]]:
    """Yield the last entries before the newest ``skip``, oldest first; only those by or on ``about`` if given."""
    wanted = select(AUDIT).order_by(AUDIT.c.seq.desc()).limit(count).offset(skip)
    if about is not None:
        wanted = wanted.where((AUDIT.c.subject == about) | (AUDIT.c.actor == about))
    yield from reversed(connection.execute(wanted).all())


def _hash(previous: bytes, *values: object) -> bytes:
    text = json.dumps(values, ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(previous + text.encode("ascii")).digest()
