"""The records as the protocol's test looks at them: whole, and older than they are."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from itertools import count
from typing import Any

import redis
import sqlalchemy as sa

from worker import database, recovery, scheduling
from worker.backend import Backend
from worker.database import now
from worker.records import FINAL_STATES

JOBS = database.jobs
# What time does something to. A final record is left alone: nothing may change it any more.
TIMES = (
    "lease_until",
    "pending_at",
    "not_before",
    "waiting_since",
    "ages_at",
    "notified_at",
    "served_at",
)


def _turns(rows: "Sequence[sa.Row[Any]]", served: dict[str, tuple[float, str]]) -> Iterator[str]:
    """Ids in the order of service, turn by turn: slow, and plainly what was promised."""
    left = list(rows)
    for turn in count():
        if not left:
            return
        level = max(row.level for row in left)
        row = min((row for row in left if row.level == level), key=lambda row: served[row.owner])
        left.remove(row)
        served[row.owner] = (1e12 + turn, row.owner)
        yield row.id


class Records:
    """Reads everything at once, for a handful of jobs."""

    def __init__(self, backend: Backend) -> None:
        self.backend = backend

    def clear(self) -> None:
        """An empty installation, faster than a new one."""
        with self.backend.database.writing() as connection:
            for table in reversed(database.metadata.sorted_tables):
                connection.execute(sa.delete(table))
        self.wipe_queue()

    def wipe_queue(self) -> None:
        with redis.Redis.from_url(self.backend.settings.effective_redis_url) as client:
            client.flushall()

    def now(self) -> float:
        """The database's time."""
        with self.backend.database.reading() as connection:
            return float(connection.scalar(sa.select(now())) or 0.0)

    def rows(self) -> dict[str, Any]:
        with self.backend.database.reading() as connection:
            return {row.id: row for row in connection.execute(sa.select(JOBS))}

    def pending(self, identifier: str) -> str | None:
        row = self.rows().get(identifier)
        return row.pending if row is not None else None

    def line(self) -> list[str]:
        """Ids of the trainings that a worker may claim, in the order that is shown to owners."""
        query = (
            sa.select(JOBS, database.owners.c.served_at.label("owner_served_at"))
            .join(database.owners, database.owners.c.owner == JOBS.c.owner)
            .where(scheduling.runnable(), JOBS.c.kind == "train")
            .order_by(JOBS.c.served_at, JOBS.c.created_at, JOBS.c.id)
        )
        with self.backend.database.reading() as connection:
            rows = connection.execute(query).all()
        served = {row.owner: (row.owner_served_at, row.owner) for row in rows}
        return list(_turns(rows, served))

    def stories(self) -> dict[str, list[Any]]:
        found = defaultdict(list)
        with self.backend.database.reading() as connection:
            for event in connection.execute(
                sa.select(database.events).order_by(database.events.c.id)
            ):
                found[event.job].append(event)
        return found

    def models(self) -> Counter[str]:
        """How many models each job has left."""
        with self.backend.database.reading() as connection:
            return Counter(connection.scalars(sa.select(database.models.c.job)))

    def overdue_wishes(self) -> dict[str, str]:
        """Wishes that the next sweep must make true: unanswered, or their holder is gone."""
        overdue = JOBS.c.pending_at < now() - recovery.ANSWER_SECONDS
        query = sa.select(JOBS.c.id, JOBS.c.pending).where(
            JOBS.c.pending.is_not(None), sa.or_(overdue, JOBS.c.lease_until < now())
        )
        with self.backend.database.reading() as connection:
            return {row.id: row.pending for row in connection.execute(query)}

    def end_lease(self, identifier: str) -> None:
        """As if its holder had not been heard of for long, at the very moment."""
        with self.backend.database.writing() as connection:
            statement = sa.update(JOBS).where(JOBS.c.id == identifier)
            connection.execute(statement.values(lease_until=now() - 0.001))

    def pass_time(self, seconds: float) -> None:
        """Make everything as old as if the database's clock had gone on."""
        owners = database.owners
        with self.backend.database.writing() as connection:
            for name in TIMES:
                column = JOBS.c[name]
                connection.execute(
                    sa.update(JOBS)
                    .where(JOBS.c.state.not_in(FINAL_STATES), column > 0)
                    .values({name: column - seconds})
                )
            connection.execute(sa.update(owners).values(served_at=owners.c.served_at - seconds))
