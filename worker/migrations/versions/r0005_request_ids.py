"""A job remembers which request submitted it, so that its log lines can be found by either."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Add the column."""
    op.add_column(
        "jobs",
        sa.Column(
            "request_id",
            sa.String(80),
            comment="of the request that submitted it, for logs",
        ),
    )
