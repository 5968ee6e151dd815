"""How long each owner has trained each day, and the jobs that hold checkpoints."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Create the table and the index."""
    op.create_table(
        "usage",
        sa.Column("owner", sa.String(length=100), nullable=False),
        sa.Column("day", sa.Integer(), nullable=False, comment="days since the Unix epoch, UTC"),
        sa.Column("training_seconds", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("owner", "day"),
    )
    holds_files = sa.text("checkpoint is not null")
    op.create_index(
        "jobs_with_files",
        "jobs",
        ["owner"],
        unique=False,
        sqlite_where=holds_files,
        postgresql_where=holds_files,
    )
