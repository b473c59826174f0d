"""Which of the server's keys each device knows."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column."""
    op.add_column("device", sa.Column("server_key", sa.String(length=43), nullable=True))


def downgrade() -> None:
    """Drop it, and what is in it."""
    op.drop_column("device", "server_key")
