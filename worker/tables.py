"""The tables of the records; `worker.migrations` makes them."""

import sqlalchemy as sa

metadata = sa.MetaData()

datasets = sa.Table(
    "datasets",
    metadata,
    sa.Column("id", sa.String(40), primary_key=True),
    sa.Column("owner", sa.String(100), nullable=False),
    sa.Column("name", sa.String(200), nullable=False),
    sa.Column("layout", sa.String(20), nullable=False),
    sa.Column("file", sa.JSON, nullable=False),
    sa.Column("report", sa.JSON, nullable=False),
    sa.Column(
        "came_with_job",
        sa.Boolean,
        nullable=False,
        server_default=sa.false(),
        comment="goes when no job uses it any more",
    ),
    sa.Column("idempotency_key", sa.String(200)),
    sa.Column("request_sha256", sa.String(64)),
    sa.Column("created_at", sa.Double, nullable=False),
    sa.Index("datasets_by_owner", "owner", "created_at", "id"),
    sa.Index("one_dataset_an_idempotency_key", "owner", "idempotency_key", unique=True),
    sa.Index("datasets_by_request", "owner", "request_sha256"),
)

# Jobs that a worker might take; `scheduling.runnable` asks in the same words.
IN_LINE = "state in ('queued', 'running') and lease_until is null"
# In the order of service; the last three only so that nothing else need be read.
LINE = (
    *("kind", "level", "owner", "served_at", "created_at", "id"),
    *("not_before", "state", "lease_until"),
)

jobs = sa.Table(
    "jobs",
    metadata,
    sa.Column("id", sa.String(40), primary_key=True),
    sa.Column("owner", sa.String(100), nullable=False),
    sa.Column("kind", sa.String(20), nullable=False),
    sa.Column("name", sa.String(200), nullable=False),
    sa.Column("state", sa.String(20), nullable=False),
    sa.Column("priority", sa.Integer, nullable=False),
    sa.Column("config", sa.JSON, nullable=False),
    sa.Column("dataset", sa.String(40), sa.ForeignKey("datasets.id")),
    sa.Column("metadata", sa.JSON, nullable=False, server_default="{}", comment="the owner's own"),
    sa.Column("idempotency_key", sa.String(200)),
    sa.Column("request_sha256", sa.String(64)),
    sa.Column("request_id", sa.String(80), comment="of the request that submitted it, for logs"),
    sa.Column("version", sa.Integer, nullable=False, comment="grows with every change"),
    # what was published: the fence lets only the holder of the current lease change these
    sa.Column("slices", sa.Integer, nullable=False),
    sa.Column("progress", sa.JSON, nullable=False),
    sa.Column("metrics", sa.JSON, nullable=False),
    sa.Column("checkpoint", sa.JSON(none_as_null=True)),
    sa.Column("previous_checkpoint", sa.JSON(none_as_null=True)),
    sa.Column("candidate", sa.JSON(none_as_null=True)),
    sa.Column("result", sa.JSON(none_as_null=True)),
    sa.Column("error", sa.JSON(none_as_null=True)),
    # what the owner asked for and the worker has not answered yet
    sa.Column("pending", sa.String(20)),
    sa.Column("pending_at", sa.Double),
    # the lease: who works on it now, and until when that is believed
    sa.Column("lease_epoch", sa.Integer, nullable=False),
    sa.Column("lease_owner", sa.String(200)),
    sa.Column("lease_until", sa.Double),
    sa.Column("attempts", sa.Integer, nullable=False, comment="child deaths at this slice"),
    sa.Column("lost_leases", sa.Integer, nullable=False, comment="workers lost at this slice"),
    sa.Column(
        "postponements",
        sa.Integer,
        nullable=False,
        server_default="0",
        comment="times this slice could not be kept: store or records away",
    ),
    # the outbox and the order of service
    sa.Column("not_before", sa.Double, nullable=False),
    sa.Column("waiting_since", sa.Double, nullable=False),
    sa.Column("served_at", sa.Double, nullable=False),
    sa.Column("notified_at", sa.Double, nullable=False),
    sa.Column("notifications", sa.Integer, nullable=False),
    sa.Column("level", sa.Integer, nullable=False, comment="the priority, raised by waiting"),
    sa.Column("ages_at", sa.Double, comment="when the level rises next, while it waits"),
    sa.Column("created_at", sa.Double, nullable=False),
    sa.Column("sweep", sa.String(40), comment="the sweep it is a trial of"),
    sa.Column("trial", sa.Integer, comment="which one, from 0"),
    sa.Column("started_at", sa.Double),
    sa.Column("finished_at", sa.Double),
    sa.UniqueConstraint("owner", "idempotency_key", name="one_job_an_idempotency_key"),
    sa.Index("jobs_by_owner", "owner", "created_at", "id"),
    sa.Index("jobs_by_owner_and_state", "owner", "state", "created_at", "id"),
    sa.Index("jobs_by_state", "state", "lease_until"),
    sa.Index("jobs_by_lease", "lease_owner"),
    sa.Index("jobs_by_dataset", "dataset"),
    sa.Index(
        "jobs_by_sweep",
        "sweep",
        "trial",
        unique=True,
        sqlite_where=sa.text("sweep is not null"),
        postgresql_where=sa.text("sweep is not null"),
    ),
    *(
        sa.Index(name, *columns, sqlite_where=sa.text(where), postgresql_where=sa.text(where))
        for name, columns, where in (
            ("jobs_in_line", LINE, IN_LINE),
            ("jobs_to_announce", ("kind", "notified_at"), IN_LINE),
            ("jobs_that_age", ("ages_at",), "ages_at is not null"),
            ("jobs_asked", ("pending_at",), "pending_at is not null"),
        )
    ),
    sa.Index(
        "jobs_with_files",
        "owner",
        sqlite_where=sa.text("checkpoint is not null"),
        postgresql_where=sa.text("checkpoint is not null"),
    ),
)

sweeps = sa.Table(
    "sweeps",
    metadata,
    sa.Column("id", sa.String(40), primary_key=True),
    sa.Column("owner", sa.String(100), nullable=False),
    sa.Column("name", sa.String(200), nullable=False),
    sa.Column("state", sa.String(20), nullable=False),
    sa.Column("dataset", sa.String(40)),
    sa.Column("request", sa.JSON, nullable=False, comment="what the owner asked for"),
    sa.Column("trials", sa.JSON, nullable=False, comment="the settings of each"),
    sa.Column("rungs", sa.JSON, nullable=False, comment="shares at which losers stop"),
    sa.Column(
        "rung", sa.Integer, nullable=False, comment="the next of them; -1: trials are being made"
    ),
    sa.Column("scores", sa.JSON, nullable=False, comment="for each rung the losses by trial"),
    sa.Column("best", sa.JSON(none_as_null=True)),
    sa.Column("error", sa.JSON(none_as_null=True)),
    sa.Column("idempotency_key", sa.String(200)),
    sa.Column("request_sha256", sa.String(64)),
    sa.Column("created_at", sa.Double, nullable=False),
    sa.Column("finished_at", sa.Double),
    sa.UniqueConstraint("owner", "idempotency_key", name="one_sweep_an_idempotency_key"),
    sa.Index("sweeps_by_owner", "owner", "created_at", "id"),
    sa.Index("sweeps_by_state", "state"),
)

owners = sa.Table(
    "owners",
    metadata,
    sa.Column("owner", sa.String(100), primary_key=True),
    sa.Column("served_at", sa.Double, nullable=False),
    sa.Index("owners_by_turn", "served_at", "owner"),
)

usage = sa.Table(
    "usage",
    metadata,
    sa.Column("owner", sa.String(100), primary_key=True),
    sa.Column("day", sa.Integer, primary_key=True, comment="days since the Unix epoch, UTC"),
    sa.Column("training_seconds", sa.Double, nullable=False),
)

models = sa.Table(
    "models",
    metadata,
    sa.Column("id", sa.String(40), primary_key=True),
    sa.Column("owner", sa.String(100), nullable=False),
    sa.Column("name", sa.String(200), nullable=False),
    sa.Column("job", sa.String(40)),
    sa.Column("created_at", sa.Double, nullable=False),
    sa.Column("config", sa.JSON, nullable=False),
    sa.Column("metrics", sa.JSON, nullable=False),
    sa.Column("files", sa.JSON, nullable=False),
    sa.Column("idempotency_key", sa.String(200)),
    sa.Column("request_sha256", sa.String(64)),
    sa.UniqueConstraint("owner", "name", name="one_model_a_name"),
    sa.Index("one_model_an_idempotency_key", "owner", "idempotency_key", unique=True),
    sa.Index("models_by_owner", "owner", "created_at", "id"),
)

events = sa.Table(
    "events",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("job", sa.String(40), sa.ForeignKey("jobs.id", ondelete="CASCADE"), nullable=False),
    sa.Column("type", sa.String(20), nullable=False),
    sa.Column("at", sa.Double, nullable=False),
    sa.Column("data", sa.JSON, nullable=False),
    sa.Column("key", sa.String(60), comment="makes a repeated event harmless"),
    sa.UniqueConstraint("job", "key", name="one_event_a_key"),
    sa.Index("events_by_job", "job", "id"),
)

# Of prediction jobs under way, prompt by prompt; when the job ends its result has them all.
answers = sa.Table(
    "answers",
    metadata,
    sa.Column("job", sa.String(40), sa.ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("data", sa.JSON, nullable=False),
)

keys = sa.Table(
    "keys",
    metadata,
    sa.Column("id", sa.String(40), primary_key=True),
    sa.Column("owner", sa.String(100), nullable=False),
    sa.Column("role", sa.String(20), nullable=False),
    sa.Column("name", sa.String(200), nullable=False),
    sa.Column("prefix", sa.String(20), nullable=False),
    sa.Column("token_sha256", sa.String(64), nullable=False),
    sa.Column("created_at", sa.Double, nullable=False),
    sa.Column("expires_at", sa.Double),
    sa.Column("revoked_at", sa.Double),
    sa.Column("last_used_at", sa.Double),
    sa.Column("made_by", sa.String(100), comment="the admin; null: made on the machine itself"),
    sa.Column("idempotency_key", sa.String(200)),
    sa.Column("request_sha256", sa.String(64)),
    sa.UniqueConstraint("prefix", name="one_key_a_prefix"),
    sa.Index("one_key_an_idempotency_key", "made_by", "idempotency_key", unique=True),
)

sessions = sa.Table(
    "sessions",
    metadata,
    sa.Column("token_sha256", sa.String(64), primary_key=True),
    sa.Column("owner", sa.String(100), nullable=False),
    sa.Column("key", sa.String(40), nullable=False),
    sa.Column("created_at", sa.Double, nullable=False),
    sa.Column("expires_at", sa.Double, nullable=False),
)

audit = sa.Table(
    "audit",
    metadata,
    sa.Column("id", sa.String(40), primary_key=True),
    sa.Column("created_at", sa.Double, nullable=False),
    sa.Column("owner", sa.String(100), nullable=False),
    sa.Column("key", sa.String(40), nullable=False),
    sa.Column("action", sa.String(100), nullable=False),
    sa.Column("target", sa.String(200), nullable=False),
    sa.Column("status", sa.Integer, nullable=False),
    sa.Column("address", sa.String(64), nullable=False),
    sa.Column("request", sa.String(64), nullable=False),
    sa.Index("audit_by_time", "created_at", "id"),
    sa.Index("audit_by_owner", "owner", "created_at", "id"),
)

webhooks = sa.Table(
    "webhooks",
    metadata,
    sa.Column("id", sa.String(40), primary_key=True),
    sa.Column("owner", sa.String(100), nullable=False),
    sa.Column("url", sa.String(2000), nullable=False),
    sa.Column("secret", sa.String(100), nullable=False),
    sa.Column("idempotency_key", sa.String(200)),
    sa.Column("request_sha256", sa.String(64)),
    sa.Column("created_at", sa.Double, nullable=False),
    sa.UniqueConstraint("owner", "idempotency_key", name="one_webhook_an_idempotency_key"),
    sa.Index("webhooks_by_owner", "owner", "created_at", "id"),
)

deliveries = sa.Table(
    "deliveries",
    metadata,
    sa.Column("id", sa.String(40), primary_key=True),
    sa.Column(
        "webhook", sa.String(40), sa.ForeignKey("webhooks.id", ondelete="CASCADE"), nullable=False
    ),
    sa.Column("type", sa.String(60), nullable=False),
    sa.Column("body", sa.Text, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("due_at", sa.Double),
    sa.Column("delivered_at", sa.Double),
    sa.Column("problem", sa.String(300)),
    sa.Column("created_at", sa.Double, nullable=False),
    sa.Index("deliveries_by_webhook", "webhook", "created_at", "id"),
    sa.Index("deliveries_due", "due_at"),
)
