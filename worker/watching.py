"""What changed, asked cheaply for many jobs at once: for those who show jobs while they run."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from worker import database, transitions
from worker.backend import Backend
from worker.records import Job, JobState

TABLE = database.jobs


@dataclass(frozen=True)
class Head:
    """What moves when anything about a job does, but for live progress and its place in line."""

    version: int
    newest_event: int


def heads(backend: Backend, identifiers: Sequence[str]) -> dict[str, Head]:
    """The heads of these jobs, as far as there are any, in one statement."""
    events = database.events
    newest = sa.select(sa.func.max(events.c.id)).where(events.c.job == TABLE.c.id).scalar_subquery()
    query = sa.select(TABLE.c.id, TABLE.c.version, newest.label("newest"))
    with backend.database.reading() as connection:
        rows = connection.execute(query.where(TABLE.c.id.in_(identifiers))).all()
    return {row.id: Head(row.version, row.newest or 0) for row in rows}


def records(
    backend: Backend, identifiers: Sequence[str], *, owner: str | None = None
) -> dict[str, Job]:
    """The jobs themselves with their places in line and live progress; of an owner only, or all."""
    if not identifiers:
        return {}
    query = sa.select(TABLE).where(TABLE.c.id.in_(identifiers))
    if owner is not None:
        query = query.where(TABLE.c.owner == owner)
    with backend.database.reading() as connection:
        rows: Sequence[Any] = connection.execute(query).all()
        waiting = [row.id for row in rows if row.state == JobState.QUEUED]
        places = backend.places.of(connection, waiting)
    live = backend.live.progress([row.id for row in rows if row.state == JobState.RUNNING])
    return {row.id: transitions.read_job(row, places.get(row.id), live.get(row.id)) for row in rows}


def places(backend: Backend, identifiers: Sequence[str]) -> dict[str, int]:
    """The places in line of those of these jobs that wait."""
    with backend.database.reading() as connection:
        return backend.places.of(connection, identifiers)
