"""Whose turn it is: the one ordering behind claims, queue positions and the sweep.

Priority first, raised by waiting so that nobody starves; then the owner who was served least
recently, so that owners share equally however many jobs each has; then the job served least
recently, so that jobs share the workers slice by slice.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

import sqlalchemy as sa

from worker.database import jobs, now, owners
from worker.records import JobState

# A job that has waited so long counts as one priority higher, after twice as long as two.
AGEING_SECONDS = 600


def runnable() -> "sa.ColumnElement[bool]":
    """Rows that a worker may claim now."""
    return sa.and_(
        jobs.c.state.in_([JobState.QUEUED, JobState.RUNNING]),
        jobs.c.lease_until.is_(None),
        jobs.c.not_before <= now(),
    )


def in_order(query: "sa.Select[Any]") -> "sa.Select[Any]":
    """The rows of `query` with the one to serve next at the top."""
    return query.outerjoin(owners, owners.c.owner == jobs.c.owner).order_by(*_order())


def positions(connection: sa.Connection, identifiers: Sequence[str]) -> dict[str, int]:
    """Places in the queue, 1 = next, of those of these jobs that wait for a worker.

    A job behind others of its kind only: trainings and predictions have workers of their own. Jobs
    between two of their slices have places as well, which nobody asks for.
    """
    wanted = set(identifiers)
    if not wanted:
        return {}
    return {
        row.id: place
        for line in lines(connection).values()
        for place, row in enumerate(line, start=1)
        if row.id in wanted and row.state == JobState.QUEUED
    }


def lines(connection: sa.Connection) -> "dict[str, list[sa.Row[Any]]]":
    """For each kind its runnable jobs, in the order in which they will be claimed."""
    columns = (jobs.c.id, jobs.c.owner, jobs.c.kind, jobs.c.state, _level().label("level"))
    rows = connection.execute(in_order(sa.select(*columns).where(runnable()))).all()
    kinds = {row.kind for row in rows}
    return {kind: list(_turns([row for row in rows if row.kind == kind])) for kind in kinds}


def _turns(rows: "list[sa.Row[Any]]") -> "Iterator[sa.Row[Any]]":
    """Rows that are in order, in the order in which they will be claimed.

    That is another order: whoever is served goes behind the other owners with the rest of his jobs.
    """
    served: dict[str, int] = {}  # owner → his last turn
    turn = 0
    for _, level in groupby(rows, key=lambda row: row.level):
        waiting: dict[str, deque[sa.Row[Any]]] = {}
        for row in level:
            waiting.setdefault(row.owner, deque()).append(row)
        line = deque(sorted(waiting, key=lambda owner: served.get(owner, -1)))
        while line:
            owner = line.popleft()
            yield waiting[owner].popleft()
            served[owner] = turn = turn + 1
            if waiting[owner]:
                line.append(owner)


def _level() -> "sa.ColumnElement[int]":
    """The priority of a job, raised by waiting."""
    waited = now() - jobs.c.waiting_since
    raised = sa.case((waited > 2 * AGEING_SECONDS, 2), (waited > AGEING_SECONDS, 1), else_=0)
    return jobs.c.priority + raised


def _order() -> list["sa.ColumnElement[Any]"]:
    return [
        _level().desc(),
        sa.func.coalesce(owners.c.served_at, 0.0),
        jobs.c.served_at,
        jobs.c.created_at,
        jobs.c.id,
    ]
