"""Uploads, imports and new keys are known again when their request comes twice."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    """Add the columns; what is there already was asked for once."""
    op.add_column(
        "keys",
        sa.Column(
            "made_by",
            sa.String(length=100),
            nullable=True,
            comment="the admin; null: made on the machine itself",
        ),
    )
    for table, asker in (("dataset", "owner"), ("model", "owner"), ("key", "made_by")):
        op.add_column(
            f"{table}s", sa.Column("idempotency_key", sa.String(length=200), nullable=True)
        )
        op.add_column(f"{table}s", sa.Column("request_sha256", sa.String(length=64), nullable=True))
        op.create_index(
            f"one_{table}_an_idempotency_key", f"{table}s", [asker, "idempotency_key"], unique=True
        )
    op.create_index("datasets_by_request", "datasets", ["owner", "request_sha256"])
