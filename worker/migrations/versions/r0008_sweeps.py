"""Sweeps: a search for good settings, whose trials are ordinary jobs."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Add the table, and to jobs which trial they are."""
    op.create_table(
        "sweeps",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("owner", sa.String(length=100), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("dataset", sa.String(length=40), nullable=True),
        sa.Column("request", sa.JSON(), nullable=False),
        sa.Column("trials", sa.JSON(), nullable=False),
        sa.Column("rungs", sa.JSON(), nullable=False),
        sa.Column("rung", sa.Integer(), nullable=False),
        sa.Column("scores", sa.JSON(), nullable=False),
        sa.Column("best", sa.JSON(), nullable=True),
        sa.Column("error", sa.JSON(), nullable=True),
        sa.Column("idempotency_key", sa.String(length=200), nullable=True),
        sa.Column("request_sha256", sa.String(length=64), nullable=True),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("finished_at", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("owner", "idempotency_key", name="one_sweep_an_idempotency_key"),
    )
    op.create_index("sweeps_by_owner", "sweeps", ["owner", "created_at", "id"])
    op.create_index("sweeps_by_state", "sweeps", ["state"])
    op.add_column("jobs", sa.Column("sweep", sa.String(40)))
    op.add_column("jobs", sa.Column("trial", sa.Integer()))
    condition = sa.text("sweep is not null")
    op.create_index(
        "jobs_by_sweep",
        "jobs",
        ["sweep", "trial"],
        unique=True,
        sqlite_where=condition,
        postgresql_where=condition,
    )
