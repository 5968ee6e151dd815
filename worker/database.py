"""The records' home: the database's clock, and the two ways of talking to it.

SQLite (one machine) and Postgres (many) run the same statements. Reading and writing are told apart
because SQLite must take its write lock before the first read of a transaction that will write;
otherwise two of them deadlock and one fails. All times are the database's own, so that no worker's
clock matters.
"""

import fcntl
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.pool import NullPool
from sqlalchemy.sql.functions import FunctionElement

from worker.errors import NewerRecords, Unavailable
from worker.tables import (
    answers,
    audit,
    datasets,
    deliveries,
    events,
    jobs,
    keys,
    metadata,
    models,
    owners,
    sessions,
    sweeps,
    usage,
    webhooks,
)

__all__ = [
    "Database",
    "answers",
    "audit",
    "datasets",
    "deliveries",
    "events",
    "insert",
    "jobs",
    "keys",
    "metadata",
    "models",
    "now",
    "owners",
    "sessions",
    "sweeps",
    "usage",
    "webhooks",
]

# The newest migration; a test holds it against the migrations folder.
SCHEMA_REVISION = "0011"
# Any number will do, as long as every process takes the same one.
_MIGRATION_LOCK = 5_786_116

LOCK_SECONDS = 15.0  # how long a writer waits for another one (SQLite)
# Enough for every thread of a web process that asks at the same time.
POOL = {"pool_size": 10, "max_overflow": 60}


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


class Look:
    """A statement as the driver takes it."""

    def __init__(self, compiled: Any) -> None:
        self.text: str = compiled.string
        self._names: Sequence[str] | None = compiled.positiontup if compiled.positional else None
        self._fixed = {name: value for name, value in compiled.params.items() if value is not None}

    def parameters(self, values: dict[str, Any]) -> Any:
        """The values in the driver's order."""
        given = self._fixed | values
        return given if self._names is None else tuple(given[name] for name in self._names)


class Database:
    """Connections to the records; safe to share between threads, not across a fork."""

    def __init__(self, url: str, *, pooled: bool = True) -> None:
        """`pooled=False` keeps no connection open between uses, for a process that forks."""
        self.url = sa.make_url(url)
        if self.url.get_backend_name() == "postgresql":
            self.url = self.url.set(drivername="postgresql+psycopg")
        options: dict[str, Any] = dict(POOL) if pooled else {"poolclass": NullPool}
        if self.url.get_backend_name() == "sqlite":
            Path(self.url.database or "").parent.mkdir(parents=True, exist_ok=True)
            options["connect_args"] = {
                "timeout": LOCK_SECONDS,
                "check_same_thread": False,
            }
        else:
            options["connect_args"] = {"connect_timeout": 5}
            options["pool_pre_ping"] = pooled  # a server may have closed what lies in the pool
        self.engine = sa.create_engine(self.url, **options)
        self._looks: dict[sa.Select[Any], Look] = {}
        self._writer = self.engine.execution_options(lstmq_writes=True)
        # A process that forks has no such lock: its child could inherit it held by nobody.
        is_sqlite = self.url.get_backend_name() == "sqlite"
        self._turn = threading.Lock() if is_sqlite and pooled else None
        self._lookers: list[Any] = []
        if is_sqlite:
            sa.event.listen(self.engine, "connect", _prepare_sqlite)
            sa.event.listen(self.engine, "begin", _begin_sqlite)
        else:
            sa.event.listen(self.engine, "connect", _prepare_postgres)

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
        with _reachable(), self._turn_to_write(), self._writer.begin() as connection:
            yield connection

    @contextmanager
    def _turn_to_write(self) -> Iterator[None]:
        """One writer of this process after the other.

        SQLite's own waiting is sleeping, ever longer: whoever has waited longest is served last.
        """
        if self._turn is None:
            yield
        elif self._turn.acquire(timeout=LOCK_SECONDS):
            try:
                yield
            finally:
                self._turn.release()
        else:
            raise Unavailable("the records cannot be reached: another writer keeps them locked")

    def look(self, statement: "sa.Select[Any]", **values: Any) -> tuple[Any, ...] | None:
        """The first row of a statement made once and asked often; values as the driver has them.

        A seventh of what `reading` and a statement made each time take. Raises Unavailable.
        """
        look = self._looks.get(statement)
        if look is None:
            look = self._looks[statement] = Look(statement.compile(self.engine))
        given = look.parameters(values)
        with _reachable():
            connection = self._looker()
            try:
                cursor = connection.cursor()
                cursor.execute(look.text, given)
                row: tuple[Any, ...] | None = cursor.fetchone()
                cursor.close()
            except self.engine.dialect.loaded_dbapi.Error as error:
                connection.close()
                raise Unavailable(f"the records cannot be reached: {error}") from error
            if self._turn is not None and len(self._lookers) < POOL["pool_size"]:
                self._lookers.append(connection)
            else:
                connection.close()
        return row

    def _looker(self) -> Any:
        """A driver's connection. For SQLite not of the pool, which takes as long as the look."""
        with suppress(IndexError):
            return self._lookers.pop()
        connection = self.engine.raw_connection()
        if self._turn is not None:
            connection.detach()
        return connection

    def time(self) -> float:
        """Now, by the database's clock."""
        with self.reading() as connection:
            return connection.scalar(sa.select(now())) or 0.0

    def migrate(self) -> None:
        """Bring the tables to SCHEMA_REVISION; many processes may call it at once.

        Raises NewerRecords when they are beyond it.
        """
        found = self.revision()
        if found == SCHEMA_REVISION:
            return
        if found is not None and found > SCHEMA_REVISION:
            raise NewerRecords(
                f"the records were made by a newer lstmq (tables {found}, this one knows "
                f"{SCHEMA_REVISION}): start the newer version, or restore a backup"
            )
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
        while self._lookers:
            self._lookers.pop().close()
        self.engine.dispose()


def insert(connection: sa.Connection, table: sa.Table) -> Any:
    """An INSERT that knows ON CONFLICT, which SQL's own does not and both databases spell alike."""
    dialect = sqlite if connection.dialect.name == "sqlite" else postgresql
    return dialect.insert(table)


def made_once(make: "Callable[[Callable[[sa.Table], Any]], Any]") -> dict[str, Any]:
    """The same, by the dialect's name, of a statement that is run so often that it is made once.

    Making a statement takes as long as running it.
    """
    return {"sqlite": make(sqlite.insert), "postgresql": make(postgresql.insert)}


def one_at_a_time(connection: sa.Connection, what: str) -> None:
    """Until the transaction ends no other may pass here with the same `what`.

    A writing transaction on SQLite is alone anyhow.
    """
    if connection.dialect.name == "postgresql":
        key = sa.func.hashtextextended(what, 0)
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(key)))


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


def _prepare_postgres(connection: Any, _record: Any) -> None:
    # What was accepted is on the disk, whatever the server's own setting; others wait for more.
    with connection.cursor() as cursor:
        cursor.execute(
            "select set_config('synchronous_commit', 'on', false) "
            "where current_setting('synchronous_commit') = 'off'"
        )
    connection.commit()


def _begin_sqlite(connection: sa.Connection) -> None:
    writes = connection.get_execution_options().get("lstmq_writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
