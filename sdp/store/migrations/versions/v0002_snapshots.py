"""What sandboxes ran, to come back to."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the snapshots."""
    op.create_table(
        "snapshots",
        sa.Column("sandbox", sa.Text, nullable=False),
        sa.Column("number", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("taken_at", sa.BigInteger, nullable=False),
        sa.Column("revision", sa.Text, nullable=False),
        sa.Column("pins", sa.JSON, nullable=False),
        sa.Column("contents", sa.JSON, nullable=False),
        sa.PrimaryKeyConstraint("sandbox", "number"),
    )
