"""The owner's side of a job: look, cancel, pause, resume, delete.

Whatever is answered here is already true in the records; the queue is only told. Nothing waits for
a worker: a job nobody works on moves at once, a job being worked on is asked to stop (`pending`),
and `recovery` makes that true if the worker does not.
"""

import time
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import sqlalchemy as sa

from worker import database, paging, quotas, transitions
from worker.backend import Backend
from worker.database import now
from worker.errors import NotFound, WrongState
from worker.paging import Order
from worker.queue import QUEUES
from worker.records import (
    FINAL_STATES,
    Job,
    JobState,
    Page,
    StoredFile,
)

TABLE = database.jobs
WAIT_STEP_SECONDS = 0.2

Sort = Literal["newest", "oldest", "name", "finished"]
# Those that have not finished stand before those that finished last.
FAR_IN_THE_FUTURE = 1e18
ORDERS = {
    "newest": Order(TABLE.c.created_at),
    "oldest": Order(TABLE.c.created_at, descending=False),
    "name": Order(sa.func.lower(TABLE.c.name), descending=False),
    "finished": Order(sa.func.coalesce(TABLE.c.finished_at, FAR_IN_THE_FUTURE)),
}

# Made once: making a statement takes as long as running it.
_OWNED = (
    TABLE.c.id == sa.bindparam("identifier", type_=sa.String),
    TABLE.c.owner == sa.bindparam("owner", type_=sa.String),
)
_ROW = sa.select(TABLE).where(*_OWNED)
_LOCKED_ROW = _ROW.with_for_update()
_VERSION = sa.select(TABLE.c.version).where(*_OWNED)


def get(backend: Backend, owner: str, identifier: str) -> Job:
    """One job of this owner, with its place in the queue and live progress. Raises NotFound."""
    with backend.database.reading() as connection:
        row = _row(connection, owner, identifier)
        place = backend.places.of(connection, [identifier] if _waits(row) else [])
    live = backend.live.progress([identifier]) if row.state == JobState.RUNNING else {}
    return transitions.read_job(row, place.get(identifier), live.get(identifier))


def version(backend: Backend, owner: str, identifier: str) -> int:
    """How often a job's record has changed, for those who know the rest. Raises NotFound."""
    row = backend.database.look(_VERSION, owner=owner, identifier=identifier)
    if row is None:
        raise NotFound(f"there is no job {identifier}")
    return int(row[0])


def get_many(backend: Backend, owner: str, identifiers: Sequence[str]) -> list[Job]:
    """Those of these jobs that the owner has, in no order."""
    if not identifiers:
        return []
    query = sa.select(TABLE).where(TABLE.c.id.in_(identifiers), TABLE.c.owner == owner)
    with backend.database.reading() as connection:
        rows = connection.execute(query).all()
        places = backend.places.of(connection, [row.id for row in rows if _waits(row)])
    live = backend.live.progress([row.id for row in rows if row.state == JobState.RUNNING])
    return [transitions.read_job(row, places.get(row.id), live.get(row.id)) for row in rows]


def list_page(
    backend: Backend,
    owner: str,
    *,
    kind: str | None = None,
    state: str | None = None,
    name: str | None = None,
    metadata: Mapping[str, str] | None = None,
    sort: Sort = "newest",
    limit: int = 20,
    after: str | None = None,
) -> Page[Job]:
    """Jobs of this owner, sorted; `name` finds those whose name contains it.

    `metadata` finds those that have all of these keys and values.
    """
    query = paging.of_owner(TABLE, owner, name)
    for key, value in (metadata or {}).items():
        query = query.where(TABLE.c.metadata[key].as_string() == value)
    if kind:
        query = query.where(*_of_kind(kind))
    if state:
        query = query.where(TABLE.c.state == state)
    with backend.database.reading() as connection:
        page: Page[Any] = paging.page_of(
            connection,
            query,
            TABLE,
            after=after,
            limit=limit,
            read=lambda row: row,
            order=ORDERS[sort],
        )
        places = backend.places.of(connection, [row.id for row in page.data if _waits(row)])
    running = [row.id for row in page.data if row.state == JobState.RUNNING]
    live = backend.live.progress(running)
    found = [transitions.read_job(row, places.get(row.id), live.get(row.id)) for row in page.data]
    return Page(data=found, has_more=page.has_more, next=page.next)


def counts(backend: Backend, owner: str) -> dict[str, int]:
    """How many jobs of this owner are in each state."""
    query = (
        sa.select(TABLE.c.state, sa.func.count().label("number"))
        .where(TABLE.c.owner == owner)
        .group_by(TABLE.c.state)
    )
    with backend.database.reading() as connection:
        found = {row.state: row.number for row in connection.execute(query)}
    return {str(state): found.get(state, 0) for state in JobState}


def wait(
    backend: Backend, owner: str, identifier: str, seconds: float, seen_version: int | None = None
) -> Job:
    """The job as soon as it is final or its record is newer than `seen_version`, or time is up."""
    deadline = time.monotonic() + seconds
    while True:
        job = get(backend, owner, identifier)
        changed = seen_version is not None and job.version != seen_version
        left = deadline - time.monotonic()
        if job.state.final or changed or left <= 0:
            return job
        time.sleep(min(WAIT_STEP_SECONDS, left))


def cancel(backend: Backend, owner: str, identifier: str) -> Job:
    """Stop a job for good; what it learned is kept as a model. Raises NotFound, WrongState."""
    with backend.database.writing() as connection:
        row = _row(connection, owner, identifier, lock=True)
        if row.state in FINAL_STATES:
            raise WrongState(f"the job has already {row.state}", row.state)
        if row.lease_until is not None:
            _ask(connection, identifier, "cancel")
        else:
            transitions.finish(
                connection,
                TABLE.c.id == identifier,
                state=JobState.CANCELLED,
                stopped="cancelled",
            )
    return get(backend, owner, identifier)


def pause(backend: Backend, owner: str, identifier: str) -> Job:
    """Stop a job until it is resumed. Raises NotFound, WrongState."""
    with backend.database.writing() as connection:
        row = _row(connection, owner, identifier, lock=True)
        if row.state not in (JobState.QUEUED, JobState.RUNNING) or row.pending == "cancel":
            raise WrongState(f"a job that is {row.state} cannot be paused", row.state)
        if row.lease_until is not None:
            _ask(connection, identifier, "pause")
        else:
            transitions.wait_again(connection, TABLE.c.id == identifier, state=JobState.PAUSED)
    return get(backend, owner, identifier)


def resume(backend: Backend, owner: str, identifier: str) -> Job:
    """Let a paused job go on, or withdraw a pause not yet in effect."""
    with backend.database.writing() as connection:
        row = _row(connection, owner, identifier, lock=True)
        if row.pending == "pause":
            transitions.change(connection, TABLE.c.id == identifier, pending=None, pending_at=None)
        elif row.state == JobState.PAUSED:
            quotas.check_training(connection, owner, backend.settings)
            transitions.wait_again(connection, TABLE.c.id == identifier, not_before=0.0)
        else:
            raise WrongState(f"a job that is {row.state} cannot be resumed", row.state)
    backend.doorbell.ring_soon(QUEUES[row.kind])
    return get(backend, owner, identifier)


def delete(backend: Backend, owner: str, identifier: str) -> None:
    """Remove a finished job with its story and checkpoints; its model stays.

    Raises NotFound, and WrongState while it is not finished.
    """
    with backend.database.writing() as connection:
        row = _row(connection, owner, identifier, lock=True)
        if row.state not in FINAL_STATES:
            raise WrongState(f"the job is {row.state}: cancel it first", row.state)
        kept = connection.scalar(
            sa.select(database.models.c.id).where(database.models.c.job == identifier)
        )
        connection.execute(sa.delete(TABLE).where(TABLE.c.id == identifier))
    orphans = [StoredFile(**file) for file in (row.checkpoint, row.previous_checkpoint) if file]
    if kept is None and row.candidate:
        orphans += [StoredFile(**file) for file in row.candidate["files"].values()]
    backend.store.delete(*orphans)


def _row(
    connection: sa.Connection, owner: str, identifier: str, *, lock: bool = False
) -> "sa.Row[Any]":
    query, named = _LOCKED_ROW if lock else _ROW, {"identifier": identifier, "owner": owner}
    row = connection.execute(query, named).one_or_none()
    if row is None:
        raise NotFound(f"there is no job {identifier}")
    return row


def _of_kind(kind: str) -> tuple["sa.ColumnElement[bool]", ...]:
    task = TABLE.c.config["task"].as_string()
    if kind == "evaluate":  # a prediction to the queue
        return (TABLE.c.kind == "predict", task == kind)
    return (TABLE.c.kind == kind, task.is_(None))


def _ask(connection: sa.Connection, identifier: str, what: str) -> None:
    transitions.change(connection, TABLE.c.id == identifier, pending=what, pending_at=now())


def _waits(row: "sa.Row[Any]") -> bool:
    return bool(row.state == JobState.QUEUED)
