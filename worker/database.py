"""The records' home: tables, the database's clock, and the two ways of talking to it.

SQLite (one machine) and Postgres (many) run the same statements. Reading and writing are told apart
because SQLite must take its write lock before the first read of a transaction that will write;
otherwise two of them deadlock and one fails. All times are the database's own, so that no worker's
clock matters.
"""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.pool import NullPool
from sqlalchemy.sql.functions import FunctionElement

from worker.errors import Unavailable

# The newest migration; a test holds it against the migrations folder.
SCHEMA_REVISION = "0003"
# Any number will do, as long as every process takes the same one.
_MIGRATION_LOCK = 5_786_116

LOCK_SECONDS = 15.0  # how long a writer waits for another one (SQLite)
# Enough for every thread of a web process that asks at the same time.
POOL = {"pool_pre_ping": True, "pool_size": 10, "max_overflow": 60}

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
    sa.Column("created_at", sa.Double, nullable=False),
    sa.Index("datasets_by_owner", "owner", "created_at", "id"),
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
    sa.Column("idempotency_key", sa.String(200)),
    sa.Column("request_sha256", sa.String(64)),
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
    sa.Column("created_at", sa.Double, nullable=False),
    sa.Column("started_at", sa.Double),
    sa.Column("finished_at", sa.Double),
    sa.UniqueConstraint("owner", "idempotency_key", name="one_job_an_idempotency_key"),
    sa.Index("jobs_by_owner", "owner", "created_at", "id"),
    sa.Index("jobs_by_owner_and_state", "owner", "state", "created_at", "id"),
    sa.Index("jobs_by_state", "state", "lease_until"),
    sa.Index("jobs_by_lease", "lease_owner"),
    sa.Index("jobs_by_dataset", "dataset"),
)

owners = sa.Table(
    "owners",
    metadata,
    sa.Column("owner", sa.String(100), primary_key=True),
    sa.Column("served_at", sa.Double, nullable=False),
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
    sa.UniqueConstraint("owner", "name", name="one_model_a_name"),
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
    sa.UniqueConstraint("prefix", name="one_key_a_prefix"),
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


class now(FunctionElement[float]):  # noqa: N801 - reads as the SQL function it is
    """Seconds since the Unix epoch by the database's clock."""

    type = sa.Double()
    inherit_cache = True


@compiles(now, "sqlite")
def _sqlite_now(_element: now, _compiler: Any, **_: Any) -> str:
    return "((julianday('now') - 2440587.5) * 86400.0)"


@compiles(now, "postgresql")
def _postgres_now(_element: now, _compiler: Any, **_: Any) -> str:
    return "extract(epoch from clock_timestamp())::double precision"


class Database:
    """Connections to the records; safe to share between threads, not across a fork."""

    def __init__(self, url: str, *, pooled: bool = True) -> None:
        """`pooled=False` keeps no connection open between uses, for a process that forks."""
        self.url = sa.make_url(url)
        if self.url.get_backend_name() == "postgresql":
            self.url = self.url.set(drivername="postgresql+psycopg")
        options: dict[str, Any] = {"poolclass": NullPool} if not pooled else POOL
        if self.url.get_backend_name() == "sqlite":
            Path(self.url.database or "").parent.mkdir(parents=True, exist_ok=True)
            options["connect_args"] = {
                "timeout": LOCK_SECONDS,
                "check_same_thread": False,
            }
        else:
            options["connect_args"] = {"connect_timeout": 5}
        self.engine = sa.create_engine(self.url, **options)
        self._writer = self.engine.execution_options(lstmq_writes=True)
        if self.url.get_backend_name() == "sqlite":
            sa.event.listen(self.engine, "connect", _prepare_sqlite)
            sa.event.listen(self.engine, "begin", _begin_sqlite)

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """One consistent view of the records. Raises Unavailable when they cannot be reached."""
        with _reachable(), self.engine.connect() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        """One transaction: committed as a whole when the block ends, or not at all.

        Raises Unavailable when the records cannot be reached or stay locked.
        """
        with _reachable(), self._writer.begin() as connection:
            yield connection

    def time(self) -> float:
        """Now, by the database's clock."""
        with self.reading() as connection:
            return connection.scalar(sa.select(now())) or 0.0

    def migrate(self) -> None:
        """Bring the tables to SCHEMA_REVISION; many processes may call it at once."""
        if self.revision() == SCHEMA_REVISION:
            return
        from alembic import command  # noqa: PLC0415 - a tenth of a second that few starts need
        from alembic.config import Config  # noqa: PLC0415

        config = Config()
        config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
        with self._one_migration_at_a_time(), self.writing() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, "head")

    def revision(self) -> str | None:
        """The migration the tables are at; None when there are none yet."""
        with self.reading() as connection:
            if not sa.inspect(connection).has_table("alembic_version"):
                return None
            revision: str | None = connection.scalar(
                sa.text("select version_num from alembic_version")
            )
            return revision

    @contextmanager
    def _one_migration_at_a_time(self) -> Iterator[None]:
        if self.url.get_backend_name() == "sqlite":
            with Path(f"{self.url.database}.migrating").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                yield
        else:
            with self.engine.begin() as connection:
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_MIGRATION_LOCK)))
                yield

    def close(self) -> None:
        """Close every connection."""
        self.engine.dispose()


def insert(connection: sa.Connection, table: sa.Table) -> Any:
    """An INSERT that knows ON CONFLICT, which SQL's own does not and both databases spell alike."""
    dialect = sqlite if connection.dialect.name == "sqlite" else postgresql
    return dialect.insert(table)


@contextmanager
def _reachable() -> Iterator[None]:
    """Tell a database that is away from one that was asked something wrong."""
    try:
        yield
    except (sa.exc.OperationalError, sa.exc.InterfaceError, sa.exc.TimeoutError) as error:
        reason = getattr(error, "orig", None) or error
        raise Unavailable(f"the records cannot be reached: {reason}") from error


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    # sqlite3 must not begin transactions by itself: _begin_sqlite decides which kind.
    connection.isolation_level = None
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: sa.Connection) -> None:
    writes = connection.get_execution_options().get("lstmq_writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
