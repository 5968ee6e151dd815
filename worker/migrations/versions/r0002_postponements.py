"""Counts apart how often a slice could not be kept because the store was full or away."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add the column."""
    op.add_column(
        "jobs",
        sa.Column(
            "postponements",
            sa.Integer(),
            nullable=False,
            server_default="0",
            comment="times this slice could not be kept: store or records away",
        ),
    )
