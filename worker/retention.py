"""What is not needed any more is removed: old predictions and checkpoints, texts and artifacts.

A collector can never remove what a live record points at, and does not rest on luck for it:

- It lists the store first and reads the records afterwards, so that whatever was published until
  then is seen.
- What a slice has written can be published later only by the holder of the job's current lease
  (`leases`, the fence), and its name carries slice and epoch. Those of current leases stay.
- A text or an imported model is published by whoever stored it. That must happen within
  LONGEST_PUBLICATION_SECONDS by the database's clock, or it is refused; the collector looks only at
  what is twice as old.
"""

import contextlib
import logging
import threading

import sqlalchemy as sa

from worker import audit, sessions, webhooks
from worker.backend import Backend
from worker.database import datasets, jobs, now, sweeps
from worker.errors import StoreError, Unavailable
from worker.records import FINAL_STATES, StoredFile
from worker.references import held_slices, references

log = logging.getLogger(__name__)

LONGEST_PUBLICATION_SECONDS = 1800.0
ORPHAN_SECONDS = 2 * LONGEST_PUBLICATION_SECONDS
FIRST_ROUND_SECONDS, ROUND_SECONDS = 60.0, 3600.0
DAY_SECONDS = 86_400
MOST_PRUNED = 1000  # a transaction


def collect(backend: Backend, older_than: float = ORPHAN_SECONDS) -> list[str]:
    """Remove the artifacts that no record points at; their keys. Raises StoreError, Unavailable."""
    oldest = backend.database.time() - older_than
    listed = [key for key, written_at in backend.store.written() if written_at <= oldest]
    with backend.database.reading() as connection:
        held = held_slices(connection)
        needed = references(connection)
    orphans = [key for key in listed if key not in needed and slice_of(key) not in held]
    backend.store.delete(*(StoredFile(key, "", 0) for key in orphans))
    return orphans


def prune(backend: Backend, days: float) -> int:
    """Remove prediction jobs that were finished so long ago, with their results and events."""
    if not days:
        return 0
    old = (jobs.c.kind == "predict", *_finished(days))
    removed = 0
    while True:
        some = sa.select(jobs.c.id).where(*old).limit(MOST_PRUNED)
        with backend.database.writing() as connection:
            count = connection.execute(sa.delete(jobs).where(jobs.c.id.in_(some))).rowcount
        removed += count
        if count < MOST_PRUNED:
            return removed


def prune_checkpoints(backend: Backend, days: float) -> int:
    """Let go of the checkpoints of jobs that were finished so long ago; models stay.

    The records are changed; the files, which nothing points at then, are the collector's.
    """
    if not days:
        return 0
    removed = 0
    old = (*_finished(days), jobs.c.checkpoint.is_not(None))
    while True:
        with backend.database.writing() as connection:
            rows = connection.execute(
                sa.select(jobs.c.id, jobs.c.result).where(*old).limit(MOST_PRUNED)
            ).all()
            for identifier, result in rows:
                values = {"checkpoint": None, "previous_checkpoint": None}
                if result:
                    values["result"] = result | {"checkpoint": None}
                connection.execute(sa.update(jobs).where(jobs.c.id == identifier).values(values))
        removed += len(rows)
        if len(rows) < MOST_PRUNED:
            return removed


def prune_texts(backend: Backend, days: float) -> int:
    """Remove texts so old that came with a job or a sweep and that none uses any more.

    Named datasets, which somebody stored for their own sake, stay.
    """
    if not days:
        return 0
    old = (
        datasets.c.came_with_job,
        datasets.c.created_at < now() - days * DAY_SECONDS,
        ~sa.exists().where(jobs.c.dataset == datasets.c.id),
        ~sa.exists().where(sweeps.c.dataset == datasets.c.id, sweeps.c.state.not_in(FINAL_STATES)),
    )
    with backend.database.reading() as connection:
        identifiers = connection.scalars(sa.select(datasets.c.id).where(*old)).all()
    removed = 0
    for identifier in identifiers:
        # One at a time: a job accepted at this moment keeps its text, by its foreign key.
        with contextlib.suppress(sa.exc.IntegrityError), backend.database.writing() as connection:
            statement = sa.delete(datasets).where(datasets.c.id == identifier, *old)
            removed += connection.execute(statement).rowcount
    return removed


def _finished(days: float) -> tuple["sa.ColumnElement[bool]", ...]:
    return (jobs.c.state.in_(FINAL_STATES), jobs.c.finished_at < now() - days * DAY_SECONDS)


def check_in_time(connection: sa.Connection, began: float) -> None:
    """Raise Unavailable when what was stored since `began` is too old to be pointed at now."""
    if (connection.scalar(sa.select(now())) or 0.0) - began > LONGEST_PUBLICATION_SECONDS:
        raise Unavailable("storing it took too long; send it again")


def run_for_ever(backend: Backend, stop: threading.Event) -> None:
    """Clean up once an hour until told to stop; several may, at once."""
    pause = FIRST_ROUND_SECONDS
    while not stop.wait(pause):
        pause, keep = ROUND_SECONDS, backend.settings
        try:
            pruned = prune(backend, keep.keep_predictions_days)
            pruned += prune_checkpoints(backend, keep.keep_checkpoints_days)
            pruned += prune_texts(backend, keep.keep_texts_days)
            removed = collect(backend)
            audit.prune(backend, keep.keep_audit_days)
            sessions.prune(backend)
            webhooks.prune(backend)
        except (StoreError, Unavailable) as error:
            log.warning("not cleaned up: %s", error)
        else:
            if removed or pruned:
                log.info("removed %d artifacts and let go of %d records", len(removed), pruned)


def slice_of(key: str) -> tuple[str, str]:
    """(job, "slice-epoch") of `checkpoints/job/3-7.safetensors` and `models/job/3-7/file`."""
    _, owner, name = [*key.split("/"), "", ""][:3]
    return owner, name.partition(".")[0].partition("#")[0]
