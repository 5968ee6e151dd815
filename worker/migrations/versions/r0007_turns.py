"""Stores the whole order of service and indexes it, so that a claim costs the same in any queue."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"

IN_LINE = "state in ('queued', 'running') and lease_until is null"
LINE = ["kind", "level", "owner", "served_at", "created_at", "id"]
LINE += ["not_before", "state", "lease_until"]
INDEXES = (
    ("jobs_in_line", LINE, IN_LINE),
    ("jobs_to_announce", ["kind", "notified_at"], IN_LINE),
    ("jobs_that_age", ["ages_at"], "ages_at is not null"),
    ("jobs_asked", ["pending_at"], "pending_at is not null"),
)


def upgrade() -> None:
    """Add the columns and indexes; whoever waits already waits at its own priority."""
    level = sa.Column(
        "level",
        sa.Integer(),
        nullable=False,
        server_default="1",
        comment="the priority, raised by waiting",
    )
    op.add_column("jobs", level)
    op.add_column(
        "jobs",
        sa.Column("ages_at", sa.Double(), comment="when the level rises next, while it waits"),
    )
    op.execute("update jobs set level = priority")
    jobs = sa.table("jobs", *map(sa.column, ("ages_at", "waiting_since")))
    op.execute(
        sa.update(jobs)
        .where(sa.text(f"{IN_LINE} and priority < 2"))
        .values(ages_at=jobs.c.waiting_since + 600)
    )
    for name, columns, where in INDEXES:
        condition = sa.text(where)
        op.create_index(name, "jobs", columns, sqlite_where=condition, postgresql_where=condition)
    op.create_index("owners_by_turn", "owners", ["served_at", "owner"])
    op.execute(
        "insert into owners (owner, served_at) select owner, min(created_at) - 1e10 from jobs "
        "where owner not in (select owner from owners) group by owner"
    )
