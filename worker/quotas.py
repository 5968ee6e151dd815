"""What an owner may have and use: unfinished jobs, stored bytes, minutes of training a day.

Raised as QuotaExceeded with the time after which asking again makes sense. Trainings that run when
the day's minutes are used up are paused after their slice, and nothing they learned is lost.
"""

import math
from typing import Any

import sqlalchemy as sa

from lstmcore.model_record import FILES
from worker.backend import Backend
from worker.database import datasets, insert, jobs, models, now, sweeps, usage
from worker.errors import QuotaExceeded
from worker.records import ACTIVE_STATES, JobState
from worker.settings import Settings

DAY_SECONDS = 86_400
MINUTE_SECONDS = 60
STORED_RETRY_SECONDS = 300  # nothing but deleting helps


def check_active(connection: sa.Connection, owner: str, most: int) -> None:
    """Raise QuotaExceeded when the owner may not have another unfinished job."""
    if not most:
        return
    # The active ones by name: the index finds them, however many finished ones there are.
    alone = (jobs.c.owner == owner, jobs.c.state.in_(ACTIVE_STATES), jobs.c.sweep.is_(None))
    active = connection.scalar(sa.select(sa.func.count()).where(*alone)) or 0
    running = (sweeps.c.owner == owner, sweeps.c.state == JobState.RUNNING)
    active += connection.scalar(sa.select(sa.func.count()).where(*running)) or 0
    if active >= most:
        raise QuotaExceeded(
            f"you have {active} unfinished jobs and may have {most}: wait for one or cancel one"
        )


def stored_bytes(connection: sa.Connection, owner: str) -> int:
    """Bytes of the owner's texts, models and checkpoints."""
    return int(connection.scalar(_STORED, {"owner": owner}) or 0)


def _total(
    table: sa.Table, *sizes: "sa.ColumnElement[Any]", where: "sa.ColumnElement[bool]"
) -> "sa.ColumnElement[int]":
    """The sum of sizes over an owner's rows, as a part of a statement."""
    every = sum((sa.func.coalesce(size, 0) for size in sizes), start=sa.literal(0))
    mine = table.c.owner == sa.bindparam("owner", type_=sa.String)
    query = sa.select(sa.func.sum(every)).where(mine, where)
    return sa.func.coalesce(query.scalar_subquery(), 0)


# Made once: asked at every submit.
_STORED = sa.select(
    _total(datasets, datasets.c.file["bytes"].as_integer(), where=sa.true())
    + _total(
        models, *(models.c.files[name]["bytes"].as_integer() for name in FILES), where=sa.true()
    )
    + _total(
        jobs,
        jobs.c.checkpoint["bytes"].as_integer(),
        jobs.c.previous_checkpoint["bytes"].as_integer(),
        where=jobs.c.checkpoint.is_not(None),  # the index holds only these
    )
)


def check_stored(backend: Backend, owner: str, more: int = 0) -> None:
    """Raise QuotaExceeded when the owner may not store so many bytes more."""
    most = backend.settings.max_stored_bytes
    if not most:
        return
    with backend.database.reading() as connection:
        stored = stored_bytes(connection, owner)
    if stored + more > most:
        raise QuotaExceeded(
            f"you have stored {stored:,} bytes and may store {most:,}: delete texts, models or "
            "finished jobs you no longer need",
            STORED_RETRY_SECONDS,
        )


def add_training(connection: sa.Connection, owner: str, seconds: float) -> None:
    """Count what a slice has trained, in the transaction that publishes it."""
    statement = insert(connection, usage).values(
        owner=owner, day=_today(connection), training_seconds=seconds
    )
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=["owner", "day"],
            set_={"training_seconds": usage.c.training_seconds + seconds},
        )
    )


def has_used_up(connection: sa.Connection, owner: str, settings: Settings) -> bool:
    """Whether the owner has trained for as long as is allowed today (UTC)."""
    most = settings.max_training_minutes * MINUTE_SECONDS
    return bool(most) and trained_today(connection, owner) >= most


def trained_today(connection: sa.Connection, owner: str) -> float:
    """Seconds of training of an owner since midnight UTC."""
    query = sa.select(usage.c.training_seconds).where(
        usage.c.owner == owner, usage.c.day == _today(connection)
    )
    return connection.scalar(query) or 0.0


def check_training(connection: sa.Connection, owner: str, settings: Settings) -> None:
    """Raise QuotaExceeded when the owner has no minutes of training left today."""
    if has_used_up(connection, owner, settings):
        seconds = connection.scalar(sa.select(now())) or 0.0
        raise QuotaExceeded(
            f"you have trained for the {settings.max_training_minutes:g} minutes a day that are "
            "allowed here; it goes on after midnight UTC",
            math.ceil(DAY_SECONDS - seconds % DAY_SECONDS),
        )


def _today(connection: sa.Connection) -> int:
    return int((connection.scalar(sa.select(now())) or 0.0) // DAY_SECONDS)
