"""Makes sweeps go on: trials become jobs, losers stop at their rung, the best one is named.

Synchronous successive halving (Jamieson & Talwalkar, "Non-stochastic Best Arm Identification and
Hyperparameter Optimization", 2016): a trial that has done a rung's share of its training is held
until the others have; then one in `halving_factor` goes on and the rest are cancelled, keeping what
they learned. What decides is the lowest validation loss measured up to the rung, so that neither
the order of the workers nor where a slice happened to end changes who wins.

Stateless, as `recovery` is: any number of copies may run, each move is made once under the lock of
the sweep's row.
"""

import logging
import math
from collections.abc import Iterator, Sequence
from typing import Any

import sqlalchemy as sa

from lstmcore.errors import LSTMError
from worker import database, events, repeats, submissions, transitions
from worker.backend import Backend
from worker.database import now
from worker.errors import QuotaExceeded, Unavailable, WorkerError
from worker.naming import LONGEST_NAME
from worker.queue import QUEUES
from worker.records import FINAL_STATES, JobState, Json, Priority
from worker.spaces import with_settings

log = logging.getLogger(__name__)

TABLE, JOBS = database.sweeps, database.jobs
Row = Any  # of the table of jobs


def advance(backend: Backend) -> int:
    """Move every running sweep as far as it goes; how many moved."""
    with backend.database.reading() as connection:
        running = sa.select(TABLE.c.id).where(TABLE.c.state == JobState.RUNNING)
        identifiers = connection.scalars(running).all()
    moved = 0
    for identifier in identifiers:
        try:
            moved += advance_one(backend, identifier)
        except Unavailable:
            raise
        except Exception:
            # Whatever one sweep does to it, the others go on.
            log.exception("the sweep %s could not go on", identifier)
    return moved


def advance_one(backend: Backend, identifier: str) -> bool:
    """Move one sweep; whether anything changed."""
    if not _make_jobs(backend, identifier):
        return False
    moved, go_on = False, 0
    with backend.database.writing() as connection:
        sweep = connection.execute(_running(identifier).with_for_update()).one_or_none()
        if sweep is None:
            return False
        trials = connection.execute(
            sa.select(JOBS).where(JOBS.c.sweep == identifier).order_by(JOBS.c.trial)
        ).all()
        racing = [row for row in trials if row.state not in FINAL_STATES]
        if not racing:
            _finish(connection, sweep, trials)
            return True
        if sweep.rung >= len(sweep.rungs):
            return False
        share = sweep.rungs[sweep.rung]
        for row in racing:
            if _has_reached(row, share) and row.state != JobState.PAUSED and not row.pending:
                _hold(connection, row, share)
                moved = True
        if all(_has_reached(row, share) and row.state == JobState.PAUSED for row in racing):
            go_on, moved = _decide(connection, sweep, trials), True
    for _ in range(go_on):
        backend.doorbell.ring_soon(QUEUES["train"])
    return moved


def _running(identifier: str) -> "sa.Select[Any]":
    return sa.select(TABLE).where(TABLE.c.id == identifier, TABLE.c.state == JobState.RUNNING)


def _row(backend: Backend, identifier: str) -> "sa.Row[Any] | None":
    with backend.database.reading() as connection:
        return connection.execute(_running(identifier)).one_or_none()


def _make_jobs(backend: Backend, identifier: str) -> bool:
    """Make jobs of the trials that are none yet; whether all of them have become jobs.

    Only until all have: a job that its owner deletes later is not made again.
    """
    sweep = _row(backend, identifier)
    if sweep is None or sweep.rung >= 0:
        return sweep is not None
    with backend.database.reading() as connection:
        made = connection.scalars(sa.select(JOBS.c.trial).where(JOBS.c.sweep == identifier)).all()
    number = 0
    try:
        for number, settings in enumerate(sweep.trials):
            if number not in made:
                _submit(backend, sweep, number, settings)
    except QuotaExceeded:
        return False  # later, when the owner may train again
    except (WorkerError, LSTMError) as error:
        # It was accepted when the sweep was: the text, or the model to go on from, is gone since.
        _fail(backend, identifier, f"trial {number + 1} cannot be submitted: {error}")
        return False
    with backend.database.writing() as connection:
        all_made = sa.update(TABLE).where(TABLE.c.id == identifier, TABLE.c.rung == -1)
        connection.execute(all_made.values(rung=0))
    return True


def _submit(backend: Backend, sweep: "sa.Row[Any]", number: int, settings: Json) -> None:
    submissions.submit_train(
        backend,
        sweep.owner,
        name=f"{sweep.name[: LONGEST_NAME - 10]} {number + 1}",
        dataset=sweep.dataset,
        config=with_settings(sweep.request["config"], settings),
        priority=Priority(sweep.request["priority"]),
        trial=repeats.TrialOf(sweep.id, number),
    )


def _has_reached(row: Row, share: float) -> bool:
    """Whether a trial has trained its share and was evaluated at least once."""
    step, total = row.progress["step"], row.progress["total_steps"]
    evaluated = row.metrics.get("train_loss") is not None and row.slices > 0
    return bool(total and evaluated and step >= share * total)


def _hold(connection: sa.Connection, row: Row, share: float) -> None:
    message = f"held after {share:.0%} of the training until the sweep's other trials got as far"
    key = f"held:{share}"
    events.append(connection, row.id, "log", {"level": "info", "message": message}, key)
    this = (JOBS.c.id == row.id, JOBS.c.version == row.version)
    if row.lease_until is None:
        transitions.wait_again(connection, *this, state=JobState.PAUSED)
    else:
        transitions.change(connection, *this, pending="pause", pending_at=now())


def _decide(connection: sa.Connection, sweep: Row, trials: Sequence[Row]) -> int:
    """End a rung: the best go on, the others stop. How many go on."""
    share = sweep.rungs[sweep.rung]
    competing = [row for row in trials if row.state in (JobState.PAUSED, JobState.SUCCEEDED)]
    scores = {row.id: _score(connection, row, share) for row in competing}
    ranked = sorted(competing, key=lambda row: (scores[row.id], row.trial))
    kept = math.ceil(len(ranked) / sweep.request["halving_factor"])
    best, resumed = scores[ranked[0].id], 0
    for place, row in enumerate(ranked, start=1):
        if row.state != JobState.PAUSED:
            continue
        said = f"after {share:.0%} of the training: place {place} of {len(ranked)}, loss "
        said += f"{scores[row.id]:.4f} (best {best:.4f})"
        goes_on = place <= kept
        message = f"{'goes on' if goes_on else 'stopped by its sweep'} {said}"
        events.append(connection, row.id, "log", {"level": "info", "message": message})
        if goes_on:
            transitions.wait_again(connection, JOBS.c.id == row.id, not_before=0.0)
            resumed += 1
        else:
            transitions.finish(
                connection, JOBS.c.id == row.id, state=JobState.CANCELLED, stopped="sweep"
            )
    by_trial = {str(row.trial): _finite(scores[row.id]) for row in competing}
    connection.execute(
        sa.update(TABLE)
        .where(TABLE.c.id == sweep.id)
        .values(rung=sweep.rung + 1, scores=[*sweep.scores, by_trial])
    )
    return resumed


def _score(connection: sa.Connection, row: Row, share: float) -> float:
    """The lowest loss measured in a trial's first share, or at its first evaluation; lower wins."""
    limit = share * (row.progress["total_steps"] or 0)
    query = (
        sa.select(database.events.c.data)
        .where(database.events.c.job == row.id, database.events.c.type == "metrics")
        .order_by(database.events.c.id)
    )
    measured = list(connection.scalars(query))
    counted = [data for data in measured if data["step"] <= limit] or measured[:1]
    return min((_loss(data) for data in counted), default=math.inf)


def _finish(connection: sa.Connection, sweep: Row, trials: Sequence[Row]) -> None:
    """Name the best trial; a sweep without any model has failed."""
    best = min(
        _with_models(trials), key=lambda found: (found["loss"], found["trial"]), default=None
    )
    state = JobState.SUCCEEDED if best else JobState.FAILED
    if best is None and all(row.state == JobState.CANCELLED for row in trials):
        state = JobState.CANCELLED
    if best:
        best["loss"] = _finite(best["loss"])
    connection.execute(
        sa.update(TABLE)
        .where(TABLE.c.id == sweep.id)
        .values(state=state, best=best, finished_at=now())
    )


def _with_models(trials: Sequence[Row]) -> Iterator[Json]:
    for row in trials:
        if row.state != JobState.FAILED and row.candidate and row.result:
            loss = _loss(row.candidate["metrics"])
            yield {"trial": row.trial, "job": row.id, "model": row.result["model"], "loss": loss}


def _fail(backend: Backend, identifier: str, reason: str) -> None:
    error = {"code": "not_submitted", "message": reason}
    with backend.database.writing() as connection:
        connection.execute(
            sa.update(TABLE)
            .where(TABLE.c.id == identifier, TABLE.c.state == JobState.RUNNING)
            .values(state=JobState.FAILED, error=error, finished_at=now())
        )


def _loss(metrics: Json) -> float:
    for name in ("validation_loss", "train_loss"):
        value = metrics.get(name)
        if value is not None:
            return float(value)
    return math.inf


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
