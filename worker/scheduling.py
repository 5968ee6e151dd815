"""Whose turn it is: the one ordering behind claims, queue positions and the sweep.

Priority first, raised by waiting so that nobody starves; then the owner who was served least
recently, so that owners share equally however many jobs each has; then the job served least
recently, so that jobs share the workers slice by slice.
"""

from collections.abc import Sequence
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
    """The rows of `query` in the order in which they are served."""
    return query.outerjoin(owners, owners.c.owner == jobs.c.owner).order_by(*_order())


def positions(connection: sa.Connection, identifiers: Sequence[str]) -> dict[str, int]:
    """Places in the queue, 1 = next, of those of these jobs that wait for a worker.

    A job behind others of its kind only: trainings and predictions have workers of their own.
    """
    if not identifiers:
        return {}
    place = sa.func.row_number().over(partition_by=jobs.c.kind, order_by=_order())
    ranked = (
        sa.select(jobs.c.id, jobs.c.state, place.label("place"))
        .outerjoin(owners, owners.c.owner == jobs.c.owner)
        .where(runnable())
        .subquery()
    )
    query = sa.select(ranked.c.id, ranked.c.place).where(
        ranked.c.id.in_(identifiers), ranked.c.state == JobState.QUEUED
    )
    return {row.id: row.place for row in connection.execute(query)}


def _order() -> list["sa.ColumnElement[Any]"]:
    waited = now() - jobs.c.waiting_since
    raised = sa.case((waited > 2 * AGEING_SECONDS, 2), (waited > AGEING_SECONDS, 1), else_=0)
    return [
        (jobs.c.priority + raised).desc(),
        sa.func.coalesce(owners.c.served_at, 0.0),
        jobs.c.served_at,
        jobs.c.created_at,
        jobs.c.id,
    ]
