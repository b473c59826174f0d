"""The tables, on SQLite and PostgreSQL alike. Times are milliseconds since 1970, days ``YYYYMMDD``.

No token, no API key, no claim secret and no address of a device is stored: only public keys and hashes.
"""

from typing import Final

from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
)

METADATA: Final = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)

POLICY: Final = Table(
    "policy",
    METADATA,
    Column("name", String(40), primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("created_at", BigInteger, nullable=False),
    Column("model", String(120)),
    Column("voice", String(80)),
    Column("language", String(40)),
    Column("instruction", Text),
    Column("tools", Text),
    Column("max_session_s", Integer),
    Column("sessions_day", Integer),
    Column("minutes_month", Integer),
    Column("burst", Integer),
    Column("concurrent", Integer),
)
"""Settings of a group of devices. Rows never change: a change is a new version, and the highest counts. NULL: as in
the server's settings; ``tools``: a JSON list of names."""

CLAIM: Final = Table(
    "claim",
    METADATA,
    Column("id", String(6), primary_key=True),
    Column("secret_sha256", LargeBinary(32), nullable=False),
    Column("label", String(80), nullable=False),
    Column("policy", String(40)),
    Column("approval", Integer, nullable=False),
    Column("uses_left", Integer, nullable=False),
    Column("failures", Integer, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Column("revoked_at", BigInteger),
    Column("reused_at", BigInteger),
)
"""``approval`` 1: a device that enrols with it waits for the operator. ``failures``: wrong secrets so far.
``reused_at``: when the operator was last told that it was presented again."""

DEVICE: Final = Table(
    "device",
    METADATA,
    Column("id", String(64), primary_key=True),
    Column("name", String(80)),
    Column("status", String(12), nullable=False),
    Column("origin", String(12), nullable=False),
    Column("policy", String(40)),
    Column("claim_id", String(6)),
    Column("created_at", BigInteger, nullable=False),
    Column("last_seen_at", BigInteger),
    Column("last_sequence", BigInteger, nullable=False),
    Column("last_signature_sha256", LargeBinary(32)),
    Column("conflicts", Integer, nullable=False),
    Column("conflicts_since", BigInteger),
    Column("agent", String(80)),
    Column("model", String(80)),
    Column("os", String(80)),
    Column("serial_sha256", String(64)),
    Column("server_key", String(43)),
    Column("last_created", BigInteger),
    Column("conflict_signature_sha256", LargeBinary(32)),
)
"""``origin``: "claim", or "settings" for a device of the settings' table. ``last_signature_sha256`` knows a request
that is sent a second time, ``last_created`` is when it was signed; ``conflicts``: numbers used twice since
``conflicts_since``, the last of them with the signature ``conflict_signature_sha256``. ``server_key``: the newest of
the server's keys, by thumbprint, that the device is known to trust."""

DEVICE_KEY: Final = Table(
    "device_key",
    METADATA,
    Column("thumbprint", String(43), primary_key=True),
    Column("device_id", String(64), ForeignKey("device.id"), nullable=False, index=True),
    Column("public_key", Text, nullable=False),
    Column("status", String(12), nullable=False),
    Column("created_at", BigInteger, nullable=False),
)
"""``status``: active, next (rotated to, not yet used), retired or revoked."""

USAGE: Final = Table(
    "usage",
    METADATA,
    Column("device_id", String(64), ForeignKey("device.id"), primary_key=True),
    Column("day", Integer, primary_key=True),
    Column("sessions", Integer, nullable=False),
    Column("reserved_s", Integer, nullable=False),
    Column("reported_s", Integer, nullable=False),
)
"""``sessions``: conversations; ``reserved_s``: the seconds that they count with; ``reported_s``: what the device says
was talked. The day is that of ``limits.time_zone``."""

SESSION: Final = Table(
    "session",
    METADATA,
    Column("id", String(40), primary_key=True),
    Column("device_id", String(64), ForeignKey("device.id"), nullable=False),
    Column("at", BigInteger, nullable=False, index=True),
    Column("purpose", String(12), nullable=False),
    Column("state", String(12), nullable=False),
    Column("sequence", BigInteger, nullable=False),
    Column("token_sha256", LargeBinary(32)),
    Column("reserved_s", Integer, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Column("started_at", BigInteger),
    Column("ended_at", BigInteger),
    Column("reported_s", Integer),
    Column("outcome", String(40)),
    Index(None, "device_id", "at"),
)
"""``state``: one of those below. ``reserved_s``: the seconds that it counts with; all that its token is good for, until
it is known what that was used for."""
RESERVED: Final = "reserved"
"""Counted, its token not yet minted."""
MINTED: Final = "minted"
UNUSED: Final = "unused"
"""Minted and not used: it counts with nothing."""
REFUNDED: Final = "refunded"
"""It got no token: it counts with nothing."""

AUDIT: Final = Table(
    "audit",
    METADATA,
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("at", BigInteger, nullable=False),
    Column("actor", String(80), nullable=False),
    Column("action", String(40), nullable=False),
    Column("subject", String(80), nullable=False),
    Column("detail", Text, nullable=False),
    Column("hash", LargeBinary(32), nullable=False),
)
AUDIT_HEAD: Final = Table(
    "audit_head",
    METADATA,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("seq", BigInteger, nullable=False),
    Column("hash", LargeBinary(32), nullable=False),
)
"""One row: the last entry. It puts writers in a row, and shows when entries at the end are missing."""
