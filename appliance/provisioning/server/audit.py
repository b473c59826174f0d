"""What was done to devices and claims, and by whom: a chain, so that nothing can be changed or cut out unseen.

Every hash covers the entry before; the last one is kept apart as well, which shows missing entries at the end.
Somebody who may write to the database can cut its end off, or write the whole chain anew. A `Mark` that is kept
elsewhere shows that: a chain from which anything was removed or changed that was there before does not lead to it.
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
    """What is worth an entry."""

    CLAIM_CREATED = "claim-created"
    CLAIM_REVOKED = "claim-revoked"
    CLAIM_LOCKED = "claim-locked"
    CLAIM_REUSED = "claim-reused"
    """A claim that a device has enrolled with was presented with another key: somebody else has read it."""
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
    """One thing that was done; ``detail`` holds no secret and nothing of a person."""

    at: int
    actor: str
    """A device id, "server", or "admin" and the name of the system's user."""
    action: AuditAction
    subject: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Mark:
    """One entry and its hash, which stands for all that is written before it."""

    seq: int
    """0: the beginning, before the first entry."""
    hash: bytes

    def text(self) -> str:
        """Return it as `read_mark` reads it."""
        return f"{self.seq}:{self.hash.hex()}"


def read_mark(text: str) -> Mark:
    """Read a mark; raises ValueError where it is none."""
    found = _MARK.fullmatch(text.strip())
    if found is None:
        raise ValueError("not a mark: it is a number, a colon and 64 hexadecimal digits")
    return Mark(int(found["seq"]), bytes.fromhex(found["hash"]))


def append(connection: Connection, entry: Entry) -> None:
    """Add an entry; within the caller's transaction, so that it is there if and only if the deed is."""
    head_seq, previous = connection.execute(_LOCK_HEAD).one()
    values = {"at": entry.at, "actor": entry.actor, "action": entry.action.value, "subject": entry.subject}
    digest = _hash(previous, head_seq, entry.at, entry.actor, entry.action, entry.subject, entry.detail)
    connection.execute(insert(AUDIT).values(seq=head_seq, detail=entry.detail, hash=digest, **values))
    connection.execute(_MOVE_HEAD, {"new_hash": digest})


def lock(connection: Connection) -> None:
    """Have everybody else who would write an entry wait for the end of this transaction."""
    connection.execute(_HOLD_HEAD)


def first_break(connection: Connection) -> int | None:
    """Return the number of the first entry that is not what was written, or is missing; None: all is well."""
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
    """Say whether the entry of a mark is the one that it was; of a whole chain that is then true of all before it."""
    if mark.seq == 0:
        return mark.hash == BEGINNING
    return connection.execute(select(AUDIT.c.hash).where(AUDIT.c.seq == mark.seq)).scalar() == mark.hash


def last(
    connection: Connection, count: int, skip: int = 0, about: str | None = None
) -> Iterator[Row[tuple[object, ...]]]:
    """Yield the last entries but ``skip``, oldest first; of those that ``about`` did or was done to, where given."""
    wanted = select(AUDIT).order_by(AUDIT.c.seq.desc()).limit(count).offset(skip)
    if about is not None:
        wanted = wanted.where((AUDIT.c.subject == about) | (AUDIT.c.actor == about))
    yield from reversed(connection.execute(wanted).all())


def _hash(previous: bytes, *values: object) -> bytes:
    text = json.dumps(values, ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(previous + text.encode("ascii")).digest()
