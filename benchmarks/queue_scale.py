"""Whether the queue costs the same however many jobs there are. No torch: slices do nothing.

    python -m benchmarks.queue_scale
    python -m benchmarks.queue_scale --database postgresql://postgres@127.0.0.1/scratch

Fills the records with 1,000, 10,000 and 100,000 jobs, half of them of the owner who asks. All are
finished but for `--waiting`, 20 of an owner (200: one before each of 200 workers; -1: all). Times
what is asked most often, then counts the SQL statements of one slice. A database that is named is
emptied first.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import sqlalchemy as sa

from benchmarks.silence import silent_backend
from worker import database, jobs, leases, quotas, recovery, scheduling, transitions
from worker.backend import Backend
from worker.database import now
from worker.leases import Publication
from worker.records import JobState, Json, Priority, Progress, StoredFile

SIZES = (1_000, 10_000, 100_000)
OWNERS = 50
WAITING_OF_AN_OWNER = 20
ROUNDS = 31
NORMAL = scheduling.PRIORITIES[Priority.NORMAL]
BATCH = 5_000
Operation = Callable[[], object]


def main() -> None:
    """Print both tables."""
    arguments = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    arguments.add_argument("--database", default="", help="SQLAlchemy URL; empty: SQLite")
    arguments.add_argument("--waiting", type=int, default=200, help="jobs that wait; -1: all")
    given = arguments.parse_args()
    with silent_backend(database_url=given.database) as (backend, _):
        measure_all(backend, given.waiting)


def measure_all(backend: Backend, waiting: int) -> None:
    """The times at every size, and the statements of a slice at the first and the last."""
    print_line("milliseconds (median)", *(f"{size:,} jobs" for size in SIZES), "ratio")
    times: dict[str, list[float]] = {}
    statements = []
    for size in SIZES:
        empty(backend)
        fill(backend, size, size if waiting < 0 else min(waiting, size))
        for name, operation in operations(backend).items():
            times.setdefault(name, []).append(median_milliseconds(operation))
        with counted(backend) as seen:
            one_slice(backend)
        statements.append(len(seen))
    for name, row in times.items():
        print_line(name, *(f"{each:.2f}" for each in row), f"{row[-1] / row[0]:.1f}")
    print_line("SQL statements of a slice", *(str(number) for number in statements))


def operations(backend: Backend) -> dict[str, Operation]:
    """What is asked most often, by the names of the table."""
    owner = "owner 0"
    page = jobs.list_page(backend, owner)
    deep = jobs.list_page(backend, owner, limit=100).next or page.next
    (waiting, *_) = jobs.list_page(backend, owner, state="queued").data
    (done, *_) = jobs.list_page(backend, owner, state="succeeded").data or [waiting]
    return {
        "list, first page": lambda: jobs.list_page(backend, owner),
        "list, deep page": lambda: jobs.list_page(backend, owner, after=deep),
        "list, one rare state": lambda: jobs.list_page(backend, owner, state="failed"),
        "counts of an owner": lambda: jobs.counts(backend, owner),
        "poll a finished job": lambda: jobs.get(backend, owner, done.id),
        "poll a waiting job": lambda: jobs.get(backend, owner, waiting.id),
        "quota check of a submit": lambda: quota(backend, owner),
        "claim + publish a slice": lambda: one_slice(backend),
        "sweep": lambda: recovery.sweep(backend),
    }


def one_slice(backend: Backend) -> None:
    """What a worker does to the records for one slice, with one renewal."""
    claim = leases.claim(backend, "train", "bench")
    if claim is None:
        sys.exit("nothing to claim")
    leases.wanted(backend, claim)
    leases.renew(backend, claim, claim.job.progress, {})
    number = claim.job.slices + 1
    leases.record(backend, claim, [("metrics", {"step": number}, f"metrics:{number}")])
    publication = Publication(
        state=JobState.RUNNING,
        progress=Progress(step=number),
        checkpoint=StoredFile(f"checkpoints/{claim.job.id}/{number}", "0" * 64, 1),
        slice={"from_step": 0, "to_step": number, "seconds": 1.0},
    )
    leases.publish(backend, claim, publication)


def quota(backend: Backend, owner: str) -> None:
    """The part of a submit that looks at the other jobs."""
    with backend.database.reading() as connection:
        quotas.check_active(connection, owner, 10**9)


def empty(backend: Backend) -> None:
    """Remove everything."""
    with backend.database.writing() as connection:
        for table in reversed(database.metadata.sorted_tables):
            connection.execute(sa.delete(table))


def fill(backend: Backend, size: int, waiting: int) -> None:
    """Add jobs of every owner; the newest of them wait."""
    with backend.database.reading() as connection:
        began = connection.scalar(sa.select(now())) or 0.0
    for first in range(0, size, BATCH):
        rows = []
        for number in range(first, min(first + BATCH, size)):
            created = began - (size - number)
            waits = number >= size - waiting
            # Half of what is finished is one owner's; of what waits everybody has as much.
            owner = 0 if number % 2 else number % OWNERS
            owner = (size - 1 - number) // WAITING_OF_AN_OWNER if waits else owner
            state = JobState.QUEUED if waits else JobState.SUCCEEDED
            rows.append(jobs_row(number, f"owner {owner}", created, state))
        with backend.database.writing() as connection:
            connection.execute(sa.insert(database.jobs), rows)
            for owner in {row["owner"] for row in rows}:
                scheduling.make_known(connection, owner)
    if backend.database.engine.dialect.name == "postgresql":
        with backend.database.engine.connect().execution_options(
            isolation_level="AUTOCOMMIT"
        ) as connection:
            connection.exec_driver_sql("vacuum analyze")


def jobs_row(number: int, owner: str, created: float, state: JobState) -> Json:
    """One job; large enough to be like a real one."""
    config = {"preset": "tutorial", "notes": json.dumps({"padding": "x" * 800})}
    return {
        **scheduling.line_up(NORMAL),
        **{"slices": 0, "version": 1, "metrics": {}, "lease_epoch": 0, "attempts": 0},
        **{"lost_leases": 0, "postponements": 0, "not_before": 0.0, "served_at": 0.0},
        "progress": transitions.progress_json(Progress()),
        "id": f"job-{number:020d}",
        "owner": owner,
        "kind": "train",
        "name": f"job {number}",
        "state": state,
        "priority": NORMAL,
        "config": config,
        "created_at": created,
        "waiting_since": created,
        "notified_at": created,
        "ages_at": None,
        "finished_at": None if state is JobState.QUEUED else created + 1,
    }


def median_milliseconds(operation: Operation) -> float:
    """Of many runs, after one that warms up."""
    operation()
    times = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        operation()
        times.append(time.perf_counter() - began)
    return statistics.median(times) * 1000


@contextmanager
def counted(backend: Backend) -> Iterator[list[str]]:
    """The statements sent to the database meanwhile, but for the beginnings of transactions."""
    seen: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        if not statement.startswith("BEGIN"):
            seen.append(statement)

    sa.event.listen(backend.database.engine, "before_cursor_execute", note)
    yield seen
    sa.event.remove(backend.database.engine, "before_cursor_execute", note)


def print_line(first: str, *cells: str) -> None:
    """One line of a table."""
    sys.stdout.write(f"{first:<28}" + "".join(f"{cell:>16}" for cell in cells) + "\n")


if __name__ == "__main__":
    main()
