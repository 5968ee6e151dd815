"""How many there are of what now: asked of the records, for metrics and the people who operate."""

from dataclasses import dataclass
from typing import get_args

import sqlalchemy as sa

from worker.backend import Backend
from worker.database import datasets, jobs, models, now
from worker.records import JobKind
from worker.scheduling import runnable


@dataclass(frozen=True)
class Waiting:
    """The jobs of one kind that a worker could take now."""

    jobs: int
    oldest_seconds: float  # how long the first of them has waited; 0.0 when there is none


@dataclass(frozen=True)
class Census:
    """Counts over all owners."""

    jobs: dict[tuple[str, str], int]  # (kind, state) → how many
    waiting: dict[str, Waiting]  # kind →, every kind
    models: int
    datasets: int


def take(backend: Backend) -> Census:
    """Count everything. Raises Unavailable when the records cannot be reached."""
    age = now() - sa.func.min(jobs.c.waiting_since)
    by_state = sa.select(jobs.c.kind, jobs.c.state, sa.func.count()).group_by(
        jobs.c.kind, jobs.c.state
    )
    waiting = sa.select(jobs.c.kind, sa.func.count(), age).where(runnable()).group_by(jobs.c.kind)
    with backend.database.reading() as connection:
        states = connection.execute(by_state).all()
        queues = connection.execute(waiting).all()
        return Census(
            jobs={(kind, state): count for kind, state, count in states},
            waiting=dict.fromkeys(get_args(JobKind), Waiting(0, 0.0))
            | {kind: Waiting(count, max(0.0, oldest)) for kind, count, oldest in queues},
            models=connection.scalar(sa.select(sa.func.count()).select_from(models)) or 0,
            datasets=connection.scalar(sa.select(sa.func.count()).select_from(datasets)) or 0,
        )
