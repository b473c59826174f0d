"""Columns that tell a captured request from one of a second device, and note which reuse of a claim was audited."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns."""
    op.add_column("device", sa.Column("last_created", sa.BigInteger(), nullable=True))
    op.add_column("device", sa.Column("conflict_signature_sha256", sa.LargeBinary(length=32), nullable=True))
    op.add_column("claim", sa.Column("reused_at", sa.BigInteger(), nullable=True))


def downgrade() -> None:
    """Drop them, and what is in them."""
    op.drop_column("claim", "reused_at")
    op.drop_column("device", "conflict_signature_sha256")
    op.drop_column("device", "last_created")
