"""Devices, their keys and claims, policies, and what they use."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "claim",
        sa.Column("id", sa.String(length=6), nullable=False),
        sa.Column("secret_sha256", sa.LargeBinary(length=32), nullable=False),
        sa.Column("label", sa.String(length=80), nullable=False),
        sa.Column("policy", sa.String(length=40), nullable=True),
        sa.Column("approval", sa.Integer(), nullable=False),
        sa.Column("uses_left", sa.Integer(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("revoked_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_claim"),
    )
    op.create_table(
        "device",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=80), nullable=True),
        sa.Column("status", sa.String(length=12), nullable=False),
        sa.Column("origin", sa.String(length=12), nullable=False),
        sa.Column("policy", sa.String(length=40), nullable=True),
        sa.Column("claim_id", sa.String(length=6), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("last_seen_at", sa.BigInteger(), nullable=True),
        sa.Column("last_sequence", sa.BigInteger(), nullable=False),
        sa.Column("last_signature_sha256", sa.LargeBinary(length=32), nullable=True),
        sa.Column("conflicts", sa.Integer(), nullable=False),
        sa.Column("conflicts_since", sa.BigInteger(), nullable=True),
        sa.Column("agent", sa.String(length=80), nullable=True),
        sa.Column("model", sa.String(length=80), nullable=True),
        sa.Column("os", sa.String(length=80), nullable=True),
        sa.Column("serial_sha256", sa.String(length=64), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_device"),
    )
    op.create_table(
        "policy",
        sa.Column("name", sa.String(length=40), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("model", sa.String(length=120), nullable=True),
        sa.Column("voice", sa.String(length=80), nullable=True),
        sa.Column("language", sa.String(length=40), nullable=True),
        sa.Column("instruction", sa.Text(), nullable=True),
        sa.Column("tools", sa.Text(), nullable=True),
        sa.Column("max_session_s", sa.Integer(), nullable=True),
        sa.Column("sessions_day", sa.Integer(), nullable=True),
        sa.Column("minutes_month", sa.Integer(), nullable=True),
        sa.Column("burst", sa.Integer(), nullable=True),
        sa.Column("concurrent", sa.Integer(), nullable=True),
        sa.PrimaryKeyConstraint("name", "version", name="pk_policy"),
    )
    op.create_table(
        "device_key",
        sa.Column("thumbprint", sa.String(length=43), nullable=False),
        sa.Column("device_id", sa.String(length=64), nullable=False),
        sa.Column("public_key", sa.Text(), nullable=False),
        sa.Column("status", sa.String(length=12), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["device_id"], ["device.id"], name="fk_device_key_device_id"),
        sa.PrimaryKeyConstraint("thumbprint", name="pk_device_key"),
    )
    op.create_index("ix_device_key_device_id", "device_key", ["device_id"], unique=False)
    op.create_table(
        "session",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("device_id", sa.String(length=64), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("purpose", sa.String(length=12), nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("token_sha256", sa.LargeBinary(length=32), nullable=True),
        sa.Column("reserved_s", sa.Integer(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("started_at", sa.BigInteger(), nullable=True),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.Column("reported_s", sa.Integer(), nullable=True),
        sa.Column("outcome", sa.String(length=40), nullable=True),
        sa.ForeignKeyConstraint(["device_id"], ["device.id"], name="fk_session_device_id"),
        sa.PrimaryKeyConstraint("id", name="pk_session"),
    )
    op.create_index("ix_session_at", "session", ["at"], unique=False)
    op.create_index("ix_session_device_id_at", "session", ["device_id", "at"], unique=False)
    op.create_table(
        "usage",
        sa.Column("device_id", sa.String(length=64), nullable=False),
        sa.Column("day", sa.Integer(), nullable=False),
        sa.Column("sessions", sa.Integer(), nullable=False),
        sa.Column("reserved_s", sa.Integer(), nullable=False),
        sa.Column("reported_s", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["device_id"], ["device.id"], name="fk_usage_device_id"),
        sa.PrimaryKeyConstraint("device_id", "day", name="pk_usage"),
    )


def downgrade() -> None:
    """Drop them, and what is in them."""
    op.drop_table("usage")
    op.drop_index("ix_session_device_id_at", table_name="session")
    op.drop_index("ix_session_at", table_name="session")
    op.drop_table("session")
    op.drop_index("ix_device_key_device_id", table_name="device_key")
    op.drop_table("device_key")
    op.drop_table("policy")
    op.drop_table("device")
    op.drop_table("claim")
