"""The moves of a job's record: every change of a row goes through here.

A move is one conditional UPDATE; when its condition does not hold nothing changes and the caller is
told. A change of state adds its event in the same transaction, and a training that ends with
something learned leaves its model behind.
"""

from dataclasses import asdict, replace
from typing import Any

import sqlalchemy as sa

from worker import events, models, scheduling, webhooks
from worker.database import answers, jobs, now
from worker.records import Job, JobState, Json, Progress, StoredFile, as_known

PRIORITY_NAMES = {rank: priority for priority, rank in scheduling.PRIORITIES.items()}
# What a row looks like while nobody works on it.
UNLEASED: Json = {"lease_until": None, "lease_owner": None, "pending": None, "pending_at": None}


def change(
    connection: sa.Connection, *conditions: "sa.ColumnElement[bool]", **values: Any
) -> "sa.Row[Any] | None":
    """Update the one row that meets the conditions; None when there is none.

    A new `state` is told to those who watch.
    """
    statement = (
        sa.update(jobs)
        .where(*conditions)
        .values(version=jobs.c.version + 1, **values)
        .returning(*jobs.c)
    )
    row = connection.execute(statement).one_or_none()
    if row is not None and "state" in values:
        data: Json = {"state": str(row.state)}
        data |= {name: value for name in ("error", "result") if (value := getattr(row, name))}
        events.append(connection, row.id, "state", data)
    return row


def wait_again(
    connection: sa.Connection, *conditions: "sa.ColumnElement[bool]", **values: Any
) -> "sa.Row[Any] | None":
    """Put a job back into the queue, its lease ended whoever held it."""
    row = {
        "state": JobState.QUEUED,
        "lease_epoch": jobs.c.lease_epoch + 1,
    }
    line = scheduling.line_up() if values.get("state") != JobState.PAUSED else {"ages_at": None}
    return change(connection, *conditions, **(UNLEASED | row | line | values))


def let_go(
    connection: sa.Connection,
    pending: str | None,
    *conditions: "sa.ColumnElement[bool]",
    **values: Any,
) -> "sa.Row[Any] | None":
    """End the lease of a holder that will publish nothing more: what was asked of it takes effect.

    Nobody else would answer the wish: it ends with the lease. Nothing changes when the wish is
    another one by now.
    """
    still = (*conditions, jobs.c.pending.is_not_distinct_from(pending))
    if pending == "cancel":
        return finish(connection, *still, state=JobState.CANCELLED, stopped="cancelled")
    state = JobState.PAUSED if pending == "pause" else JobState.QUEUED
    return wait_again(connection, *still, **(values | {"state": state}))


def finish(
    connection: sa.Connection,
    *conditions: "sa.ColumnElement[bool]",
    state: JobState,
    stopped: str | None = None,
    **values: Any,
) -> "sa.Row[Any] | None":
    """Move a job to a final state and keep what it learned as a model, also when it failed.

    `stopped` says why a training ended ("finished", "early", "time limit", "cancelled", "failed").
    """
    row = change(
        connection,
        *conditions,
        **(UNLEASED | {"lease_epoch": jobs.c.lease_epoch + 1, "ages_at": None} | values),
    )
    if row is None:
        return None
    if row.kind == "predict":
        connection.execute(sa.delete(answers).where(answers.c.job == row.id))
    final: Json = {"state": state, "finished_at": now()}
    if row.kind == "train" and row.candidate:
        model = models.add(
            connection,
            owner=row.owner,
            name=row.name,
            job=row.id,
            config=row.config,
            metrics=row.candidate["metrics"],
            files=row.candidate["files"],
        )
        checkpoint = row.checkpoint["key"] if row.checkpoint else None
        why = "failed" if state is JobState.FAILED else stopped
        final["result"] = {"model": model, "checkpoint": checkpoint, "stopped": why}
    ended = change(connection, jobs.c.id == row.id, **final)
    if ended is not None:
        webhooks.job_ended(connection, ended)
    return ended


def read_job(row: "sa.Row[Any]", position: int | None = None, live: Json | None = None) -> Job:
    """The record of a row; `live` is a newer report of its progress, if there is one."""
    job = Job(
        id=row.id,
        owner=row.owner,
        kind=row.config.get("task", row.kind),  # an evaluation is a prediction to the queue
        name=row.name,
        state=JobState(row.state),
        config=row.config,
        dataset=row.dataset,
        priority=PRIORITY_NAMES[row.priority],
        created_at=row.created_at,
        started_at=row.started_at,
        finished_at=row.finished_at,
        version=row.version,
        slices=row.slices,
        progress=as_known(Progress, row.progress),
        metrics=dict(row.metrics),
        pending=row.pending,
        error=row.error,
        result=row.result,
        checkpoint=StoredFile(**row.checkpoint) if row.checkpoint else None,
        previous_checkpoint=(
            StoredFile(**row.previous_checkpoint) if row.previous_checkpoint else None
        ),
        candidate=row.candidate,
        attempts=row.attempts,
        metadata=row.metadata,
        queue_position=position,
    )
    return with_live(job, live) if live else job


def with_live(job: Job, live: Json) -> Job:
    """A job with a newer report of its progress, if it is newer."""
    if job.state is not JobState.RUNNING or live["progress"]["step"] < job.progress.step:
        return job
    metrics = job.metrics | live["metrics"]
    return replace(job, progress=as_known(Progress, live["progress"]), metrics=metrics)


def file_json(file: StoredFile | None) -> Json | None:
    """A stored file as the record keeps it."""
    return asdict(file) if file else None


def progress_json(progress: Progress) -> Json:
    """Progress as the record keeps it."""
    return asdict(progress)
