"""Keys and values of the owner's own at a job."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Add the column."""
    op.add_column(
        "jobs",
        sa.Column(
            "metadata", sa.JSON(), nullable=False, server_default="{}", comment="the owner's own"
        ),
    )
