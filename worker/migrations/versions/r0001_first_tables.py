"""The first tables: datasets, jobs, owners, models, events."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "datasets",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("owner", sa.String(length=100), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("layout", sa.String(length=20), nullable=False),
        sa.Column("file", sa.JSON(), nullable=False),
        sa.Column("report", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("datasets_by_owner", "datasets", ["owner", "created_at", "id"], unique=False)
    op.create_table(
        "models",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("owner", sa.String(length=100), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("job", sa.String(length=40), nullable=True),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("config", sa.JSON(), nullable=False),
        sa.Column("metrics", sa.JSON(), nullable=False),
        sa.Column("files", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("owner", "name", name="one_model_a_name"),
    )
    op.create_index("models_by_owner", "models", ["owner", "created_at", "id"], unique=False)
    op.create_table(
        "owners",
        sa.Column("owner", sa.String(length=100), nullable=False),
        sa.Column("served_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("owner"),
    )
    op.create_table(
        "jobs",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("owner", sa.String(length=100), nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("config", sa.JSON(), nullable=False),
        sa.Column("dataset", sa.String(length=40), nullable=True),
        sa.Column("idempotency_key", sa.String(length=200), nullable=True),
        sa.Column("request_sha256", sa.String(length=64), nullable=True),
        sa.Column("version", sa.Integer(), nullable=False, comment="grows with every change"),
        sa.Column("slices", sa.Integer(), nullable=False),
        sa.Column("progress", sa.JSON(), nullable=False),
        sa.Column("metrics", sa.JSON(), nullable=False),
        sa.Column("checkpoint", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("previous_checkpoint", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("candidate", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("result", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("error", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("pending", sa.String(length=20), nullable=True),
        sa.Column("pending_at", sa.Double(), nullable=True),
        sa.Column("lease_epoch", sa.Integer(), nullable=False),
        sa.Column("lease_owner", sa.String(length=200), nullable=True),
        sa.Column("lease_until", sa.Double(), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False, comment="child deaths at this slice"),
        sa.Column(
            "lost_leases", sa.Integer(), nullable=False, comment="workers lost at this slice"
        ),
        sa.Column("not_before", sa.Double(), nullable=False),
        sa.Column("waiting_since", sa.Double(), nullable=False),
        sa.Column("served_at", sa.Double(), nullable=False),
        sa.Column("notified_at", sa.Double(), nullable=False),
        sa.Column("notifications", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("started_at", sa.Double(), nullable=True),
        sa.Column("finished_at", sa.Double(), nullable=True),
        sa.ForeignKeyConstraint(
            ["dataset"],
            ["datasets.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("owner", "idempotency_key", name="one_job_an_idempotency_key"),
    )
    op.create_index("jobs_by_dataset", "jobs", ["dataset"], unique=False)
    op.create_index("jobs_by_lease", "jobs", ["lease_owner"], unique=False)
    op.create_index("jobs_by_owner", "jobs", ["owner", "created_at", "id"], unique=False)
    op.create_index(
        "jobs_by_owner_and_state", "jobs", ["owner", "state", "created_at", "id"], unique=False
    )
    op.create_index("jobs_by_state", "jobs", ["state", "lease_until"], unique=False)
    op.create_table(
        "events",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("job", sa.String(length=40), nullable=False),
        sa.Column("type", sa.String(length=20), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("data", sa.JSON(), nullable=False),
        sa.Column(
            "key", sa.String(length=60), nullable=True, comment="makes a repeated event harmless"
        ),
        sa.ForeignKeyConstraint(["job"], ["jobs.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("job", "key", name="one_event_a_key"),
    )
    op.create_index("events_by_job", "events", ["job", "id"], unique=False)
    # ### end Alembic commands ###


def downgrade() -> None:
    """Remove them again."""
    for table in ("events", "models", "owners", "jobs", "datasets"):
        op.drop_table(table)
