"""What happened to a job, in order: the durable part of its story.

An event may carry a key; a second event with the same key of the same job is dropped. That is what
makes it harmless that a slice is repeated after a crash: it says the same things about the same
steps.
"""

from typing import Any

import sqlalchemy as sa

from worker import database
from worker.backend import Backend
from worker.records import Event, Json

TABLE = database.events
_APPEND = database.made_once(
    lambda insert: (
        insert(TABLE)
        .values(at=database.now())
        .on_conflict_do_nothing(index_elements=["job", "key"])
    )
)


def append(
    connection: sa.Connection, job: str, kind: str, data: Json, key: str | None = None
) -> None:
    """Add an event within the caller's transaction."""
    row = {"job": job, "type": kind, "data": data, "key": key}
    connection.execute(_APPEND[connection.dialect.name], row)


def after(backend: Backend, job: str, after_id: int = 0, limit: int = 200) -> list[Event]:
    """The events of a job that came after one, oldest first."""
    query = (
        sa.select(TABLE)
        .where(TABLE.c.job == job, TABLE.c.id > after_id)
        .order_by(TABLE.c.id)
        .limit(limit)
    )
    return _read(backend, query)


def newest(
    backend: Backend, job: str, before_id: int | None = None, limit: int = 200
) -> list[Event]:
    """The events of a job that came before one, newest first; the last ones without."""
    events = database.events
    query = sa.select(events).where(events.c.job == job).order_by(events.c.id.desc()).limit(limit)
    return _read(backend, query if before_id is None else query.where(events.c.id < before_id))


def _read(backend: Backend, query: "sa.Select[Any]") -> list[Event]:
    with backend.database.reading() as connection:
        return [
            Event(id=row.id, job=row.job, type=row.type, at=row.at, data=row.data)
            for row in connection.execute(query)
        ]
