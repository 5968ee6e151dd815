"""The answers of a prediction job under way: what was published of it, prompt by prompt.

They are written by the turn that publishes them, in its transaction, and read by the next one, so
that no prompt is answered twice and a lost predictor costs one turn. The finished job's result
holds them all.
"""

from collections.abc import Sequence

import sqlalchemy as sa

from worker.backend import Backend
from worker.database import answers
from worker.records import Json


def append(connection: sa.Connection, job: str, found: Sequence[Json]) -> None:
    """Keep the answers of a turn, which went on behind those that are here."""
    if found:
        first = _count(connection, job)
        rows = [{"job": job, "number": first + at, "data": data} for at, data in enumerate(found)]
        connection.execute(sa.insert(answers), rows)


def count(backend: Backend, job: str) -> int:
    """How many prompts were answered so far."""
    with backend.database.reading() as connection:
        return _count(connection, job)


def published(backend: Backend, job: str) -> list[Json]:
    """The answers published so far, in the order of the prompts."""
    query = sa.select(answers.c.data).where(answers.c.job == job).order_by(answers.c.number)
    with backend.database.reading() as connection:
        return list(connection.scalars(query))


def _count(connection: sa.Connection, job: str) -> int:
    query = sa.select(sa.func.count()).where(answers.c.job == job)
    return connection.scalar(query) or 0
