"""A sweep: a search for good settings, whose trials are ordinary trainings.

The sweep's record is committed first, with the settings of every trial; that its trials become jobs
is then made true by `halving.advance`, here at once and by the sweep of lost work ever after. So a
crash in between loses no trial and makes none twice (one job a trial, by a unique index).
"""

import json
import math
from typing import Any

import sqlalchemy as sa

from lstmcore.config import resolve_config
from lstmcore.errors import ConfigError
from worker import database, datasets, halving, jobs, paging, quotas, repeats, submissions
from worker.backend import Backend
from worker.database import now
from worker.errors import InvalidInput, NotFound, WrongState
from worker.naming import check_name, new_id
from worker.records import FINAL_STATES, Job, JobState, Json, Page, Priority, Sweep, Trial
from worker.spaces import Method, settings_of_trials, with_settings

TABLE = database.sweeps
LEAST_FACTOR, MOST_FACTOR = 2, 10


def create(
    backend: Backend,
    owner: str,
    *,
    name: str | None,
    dataset: str,
    config: Json,
    space: Json,
    method: Method = "grid",
    trials: int | None = None,
    halving_factor: int | None = 3,
    seed: int = 0,
    priority: Priority = Priority.NORMAL,
    idempotency_key: str | None = None,
) -> Sweep:
    """Accept a sweep: once this returns, every trial will reach a final state.

    `halving_factor`: of the trials that reach a rung only one in so many goes on; None: all do.
    Raises NotFound, InvalidInput, lstmcore's ConfigError with the trial's settings, QuotaExceeded.
    """
    text = datasets.get(backend, owner, dataset)
    tried = settings_of_trials(space, method, trials, seed)
    _check_trials(backend, owner, text, config, tried)
    if halving_factor is not None and not (LEAST_FACTOR <= halving_factor <= MOST_FACTOR):
        raise InvalidInput(
            f"`halving_factor` is {LEAST_FACTOR} to {MOST_FACTOR}, or null",
            [{"loc": ["halving_factor"], "msg": f"give {LEAST_FACTOR} to {MOST_FACTOR}, or null"}],
        )
    request: Json = {
        "config": config,
        "space": space,
        "method": method,
        "halving_factor": halving_factor,
        "seed": seed,
        "priority": priority,
    }
    content = [text.layout, text.file.sha256]
    digest = repeats.digest(request | {"name": name, "trials": trials}, content)
    identifier = new_id("sweep")
    row: Json = {
        "id": identifier,
        "owner": owner,
        "name": check_name(name or f"{text.name} sweep"),
        "state": JobState.RUNNING,
        "dataset": dataset,
        "request": request,
        "trials": tried,
        "rungs": rungs(len(tried), halving_factor),
        "rung": -1,
        "scores": [],
        "idempotency_key": idempotency_key,
        "request_sha256": digest,
    }
    with backend.database.writing() as connection:
        known = repeats.known(connection, owner, idempotency_key, digest, TABLE)
        if known is None:
            quotas.check_active(connection, owner, backend.settings.max_active_jobs)
            quotas.check_training(connection, owner, backend.settings)
            connection.execute(sa.insert(TABLE).values(**row, created_at=now()))
    halving.advance_one(backend, known or identifier)
    return get(backend, owner, known or identifier)


def rungs(trials: int, factor: int | None) -> list[float]:
    """The shares of a training after which losers stop, so that about one trial is left."""
    if factor is None or trials < factor:
        return []
    count = int(math.log(trials) / math.log(factor) + 1e-9)
    return [round(factor ** -(count - step), 6) for step in range(count)]


def get(backend: Backend, owner: str, identifier: str) -> Sweep:
    """One sweep of this owner with its trials as they are now. Raises NotFound."""
    with backend.database.reading() as connection:
        row = _row(connection, owner, identifier)
    return _read(row, _jobs(backend, owner, row))


def list_page(
    backend: Backend,
    owner: str,
    *,
    name: str | None = None,
    limit: int = 20,
    after: str | None = None,
) -> Page[Sweep]:
    """Sweeps of this owner, newest first, without their trials' jobs."""
    query = paging.of_owner(TABLE, owner, name)
    with backend.database.reading() as connection:
        return paging.page_of(
            connection, query, TABLE, after=after, limit=limit, read=lambda row: _read(row, {})
        )


def cancel(backend: Backend, owner: str, identifier: str) -> Sweep:
    """Stop a sweep and every trial; what they learned is kept. Raises NotFound, WrongState."""
    with backend.database.writing() as connection:
        row = _row(connection, owner, identifier, lock=True)
        if row.state in FINAL_STATES:
            raise WrongState(f"the sweep has already {row.state}", row.state)
        # From here on nobody submits or resumes a trial.
        connection.execute(
            sa.update(TABLE)
            .where(TABLE.c.id == identifier)
            .values(state=JobState.CANCELLED, finished_at=now())
        )
    for job in _jobs(backend, owner, row).values():
        if not job.state.final:
            try:
                jobs.cancel(backend, owner, job.id)
            except (NotFound, WrongState):
                continue  # it ended meanwhile
    return get(backend, owner, identifier)


def delete(backend: Backend, owner: str, identifier: str) -> None:
    """Remove a finished sweep; its trials stay as jobs, their models as models.

    Raises NotFound, and WrongState while it is not finished.
    """
    with backend.database.writing() as connection:
        row = _row(connection, owner, identifier, lock=True)
        if row.state not in FINAL_STATES:
            raise WrongState(f"the sweep is {row.state}: cancel it first", row.state)
        mine = database.jobs.c.sweep == identifier
        connection.execute(sa.update(database.jobs).where(mine).values(sweep=None, trial=None))
        connection.execute(sa.delete(TABLE).where(TABLE.c.id == identifier))


def _check_trials(backend: Backend, owner: str, text: Any, config: Json, tried: list[Any]) -> None:
    """Refuse what could not be submitted before anything is."""
    summary = datasets.summary_of(text)
    for settings in tried:
        asked = with_settings(config, settings)
        try:
            resolved = resolve_config(submissions.continued(backend, owner, asked), summary)
        except ConfigError as error:
            shown = json.dumps(settings)
            raise InvalidInput(
                f"a trial cannot be trained with {shown}: {error}",
                [
                    {"loc": [*_place(one["loc"], settings)], "msg": one["msg"]}
                    for one in error.errors
                ],
            ) from None
        submissions.check_memory(backend, datasets.estimate_of(summary, resolved))


def _place(loc: list[Any], settings: Json) -> list[str | int]:
    """Where in the request a refused setting came from."""
    path = ".".join(str(part) for part in loc)
    return ["space", path] if path in settings else ["config", *loc]


def _row(
    connection: sa.Connection, owner: str, identifier: str, *, lock: bool = False
) -> "sa.Row[Any]":
    query = sa.select(TABLE).where(TABLE.c.id == identifier, TABLE.c.owner == owner)
    row = connection.execute(query.with_for_update() if lock else query).one_or_none()
    if row is None:
        raise NotFound(f"there is no sweep {identifier}")
    return row


def _jobs(backend: Backend, owner: str, row: "sa.Row[Any]") -> dict[int, Job]:
    """The jobs of a sweep's trials, as far as they still exist, by the number of the trial."""
    table = database.jobs
    query = sa.select(table.c.id, table.c.trial).where(table.c.sweep == row.id)
    with backend.database.reading() as connection:
        numbers = {found.id: found.trial for found in connection.execute(query)}
    return {numbers[job.id]: job for job in jobs.get_many(backend, owner, list(numbers))}


def _read(row: "sa.Row[Any]", found: dict[int, Job]) -> Sweep:
    trials = [
        Trial(
            number=number,
            settings=settings,
            job=found.get(number),
            scores=[scores.get(str(number)) for scores in row.scores if str(number) in scores],
        )
        for number, settings in enumerate(row.trials)
    ]
    return Sweep(
        id=row.id,
        owner=row.owner,
        name=row.name,
        state=JobState(row.state),
        dataset=row.dataset,
        request=row.request,
        rungs=row.rungs,
        rung=row.rung,
        trials=trials,
        best=row.best,
        error=row.error,
        created_at=row.created_at,
        finished_at=row.finished_at,
    )
