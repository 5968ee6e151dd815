"""Answers of prediction jobs under way; texts that came with a job are told from uploaded ones."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Create the table and add the column; texts that are there already stay."""
    op.create_table(
        "answers",
        sa.Column("job", sa.String(length=40), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("data", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["job"], ["jobs.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("job", "number"),
    )
    op.add_column(
        "datasets",
        sa.Column(
            "came_with_job",
            sa.Boolean(),
            nullable=False,
            server_default=sa.false(),
            comment="goes when no job uses it any more",
        ),
    )
