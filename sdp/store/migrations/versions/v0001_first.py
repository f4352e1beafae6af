"""The first tables."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def _text(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.Text, nullable=False)


def upgrade() -> None:
    """Create everything; columns are spelled out, for the tables of today will change."""
    _events()
    _deployments()
    _reconciling()
    op.create_table(
        "outboxes",
        _text("node"),
        _text("outbox"),
        sa.Column("seq", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("node", "outbox"),
    )
    op.create_table("meta", _text("key"), _text("value"), sa.PrimaryKeyConstraint("key"))


def _events() -> None:
    op.create_table(
        "events",
        sa.Column("seq", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
        sa.Column("at", sa.BigInteger, nullable=False),
        _text("kind"),
        _text("sandbox"),
        _text("service"),
        _text("deployment"),
        _text("reason"),
        _text("message"),
        sa.Column("data", sa.JSON, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("events_by_sandbox", "events", ["sandbox", "seq"])


def _deployments() -> None:
    op.create_table(
        "deployments",
        _text("id"),
        _text("sandbox"),
        _text("service"),
        _text("node"),
        _text("repository"),
        _text("branch"),
        _text("commit"),
        _text("hash"),
        _text("generation"),
        _text("status"),
        _text("cause"),
        _text("reason"),
        _text("message"),
        sa.Column("lines", sa.JSON, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("started_at", sa.BigInteger),
        sa.Column("finished_at", sa.BigInteger),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("deployments_by_age", "deployments", ["created_at", "id"])
    op.create_index(
        "deployments_by_service", "deployments", ["sandbox", "service", "created_at", "id"]
    )
    op.create_table(
        "stages",
        _text("deployment"),
        _text("name"),
        sa.Column("position", sa.Integer, nullable=False),
        _text("state"),
        sa.Column("started_at", sa.BigInteger),
        sa.Column("finished_at", sa.BigInteger),
        _text("note"),
        sa.PrimaryKeyConstraint("deployment", "name"),
    )


def _reconciling() -> None:
    op.create_table(
        "failures",
        _text("sandbox"),
        _text("service"),
        _text("version"),
        _text("action"),
        sa.Column("count", sa.Integer, nullable=False),
        _text("reason"),
        _text("message"),
        _text("fix"),
        sa.Column("lines", sa.JSON, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("retry_at", sa.BigInteger),
        sa.PrimaryKeyConstraint("sandbox", "service", "version"),
    )
    op.create_table(
        "applied",
        _text("sandbox"),
        _text("service"),
        _text("hash"),
        sa.PrimaryKeyConstraint("sandbox", "service"),
    )
    op.create_table(
        "leases",
        _text("node"),
        sa.Column("port", sa.Integer, nullable=False, autoincrement=False),
        _text("sandbox"),
        _text("service"),
        _text("hash"),
        sa.PrimaryKeyConstraint("node", "port"),
    )
