"""At which commit of its branch a service is, where nobody pins it."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the table; what it would have said, the containers' labels prove."""
    names = ("sandbox", "service", "branch", "commit")
    columns = (sa.Column(name, sa.Text, nullable=False) for name in names)
    op.create_table("choices", *columns, sa.PrimaryKeyConstraint("sandbox", "service"))
