"""The owner's side of a job: submit, look, cancel, pause, resume, delete.

Whatever is answered here is already true in the records; the queue is only told. Nothing waits for
a worker: a job nobody works on moves at once, a job being worked on is asked to stop (`pending`),
and `recovery` makes that true if the worker does not.
"""

import hashlib
import json
import time
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from lstmcore.config import TrainConfig, parse_sampling, resolve_config
from worker import database, datasets, events, models, paging, scheduling, transitions
from worker.backend import Backend
from worker.database import now
from worker.errors import InvalidInput, NotFound, QuotaExceeded, WrongState
from worker.naming import check_name, new_id
from worker.queue import QUEUES
from worker.records import (
    ACTIVE_STATES,
    FINAL_STATES,
    Dataset,
    Job,
    JobKind,
    JobState,
    Json,
    Page,
    Progress,
    StoredFile,
)

TABLE = database.jobs
NORMAL_PRIORITY = 1
MOST_PROMPTS = 1000
WAIT_STEP_SECONDS = 0.2


def submit_train(
    backend: Backend,
    owner: str,
    *,
    name: str | None,
    dataset: str,
    config: Json,
    idempotency_key: str | None = None,
) -> Job:
    """Accept a training: once this returns, the job will reach a final state.

    `config` is what the user sent; what is missing is chosen from the data. Raises NotFound for the
    dataset, lstmcore's ConfigError, InvalidInput when it cannot fit into memory, QuotaExceeded.
    """
    text = datasets.get(backend, owner, dataset)
    resolved = resolve_config(config, datasets.summary_of(text))
    if resolved.preset == "tutorial":
        _check_tutorial(backend, text, resolved)
    estimate = datasets.estimate_of(text, resolved)
    if estimate.memory_bytes > backend.settings.max_training_bytes:
        raise InvalidInput(
            f"this model needs about {estimate.memory_bytes / 2**20:,.0f} MiB to train; at most "
            f"{backend.settings.max_training_bytes / 2**20:,.0f} MiB are allowed here",
            [{"loc": ["config", "model"], "msg": "lower hidden_dim, embed_dim or vocab_size"}],
        )
    if resolved.init_from is not None:
        start = models.get(backend, owner, resolved.init_from)
        resolved = resolved.model_copy(update={"init_from": start.id})
    # The text, not its id: a text inside a repeated request is another dataset each time.
    content = [text.layout, text.file.sha256]
    request = {"kind": "train", "name": name, "text": content, "config": config}
    return _submit(
        backend,
        owner,
        kind="train",
        name=check_name(name or text.name),
        config=resolved.model_dump(mode="json"),
        dataset=dataset,
        request=request,
        idempotency_key=idempotency_key,
    )


def submit_predict(
    backend: Backend,
    owner: str,
    *,
    name: str | None,
    model: str,
    prompts: Sequence[str],
    sampling: Json,
    single: bool = False,
    idempotency_key: str | None = None,
) -> Job:
    """Accept a durable prediction for one or many prompts.

    `single`: the result is that of the only prompt, not a list. Raises NotFound, InvalidInput.
    """
    if not 1 <= len(prompts) <= MOST_PROMPTS:
        raise InvalidInput(
            f"give 1 to {MOST_PROMPTS} prompts, not {len(prompts)}",
            [{"loc": ["prompts"], "msg": f"give 1 to {MOST_PROMPTS} prompts"}],
        )
    trained = models.get(backend, owner, model)
    config: Json = {
        "model": trained.id,
        "prompts": list(prompts),
        "single": single,
        "sampling": parse_sampling(sampling).model_dump(mode="json"),
    }
    return _submit(
        backend,
        owner,
        kind="predict",
        name=check_name(name or f"{trained.name} predicts"),
        config=config,
        dataset=None,
        request={"kind": "predict", "name": name} | config,
        idempotency_key=idempotency_key,
    )


def get(backend: Backend, owner: str, identifier: str) -> Job:
    """One job of this owner, with its place in the queue and live progress. Raises NotFound."""
    with backend.database.reading() as connection:
        row = _row(connection, owner, identifier)
        place = scheduling.positions(connection, [identifier]) if _waits(row) else {}
    live = backend.live.progress([identifier]) if row.state == JobState.RUNNING else {}
    return transitions.read_job(row, place.get(identifier), live.get(identifier))


def list_page(
    backend: Backend,
    owner: str,
    *,
    kind: str | None = None,
    state: str | None = None,
    name: str | None = None,
    limit: int = 20,
    after: str | None = None,
) -> Page[Job]:
    """Jobs of this owner, newest first; `name` finds those whose name contains it."""
    query = sa.select(TABLE).where(TABLE.c.owner == owner)
    if kind:
        query = query.where(TABLE.c.kind == kind)
    if state:
        query = query.where(TABLE.c.state == state)
    if name:
        query = query.where(TABLE.c.name.icontains(name, autoescape=True))
    with backend.database.reading() as connection:
        page: Page[Any] = paging.page_of(
            connection, query, TABLE, after=after, limit=limit, read=lambda row: row
        )
        places = scheduling.positions(connection, [row.id for row in page.data if _waits(row)])
    running = [row.id for row in page.data if row.state == JobState.RUNNING]
    live = backend.live.progress(running)
    found = [transitions.read_job(row, places.get(row.id), live.get(row.id)) for row in page.data]
    return Page(data=found, has_more=page.has_more, next=page.next)


def counts(backend: Backend, owner: str) -> dict[str, int]:
    """How many jobs of this owner are in each state."""
    query = (
        sa.select(TABLE.c.state, sa.func.count().label("number"))
        .where(TABLE.c.owner == owner)
        .group_by(TABLE.c.state)
    )
    with backend.database.reading() as connection:
        found = {row.state: row.number for row in connection.execute(query)}
    return {str(state): found.get(state, 0) for state in JobState}


def wait(
    backend: Backend, owner: str, identifier: str, seconds: float, seen_version: int | None = None
) -> Job:
    """The job as soon as it is final or its record is newer than `seen_version`, or time is up."""
    deadline = time.monotonic() + seconds
    while True:
        job = get(backend, owner, identifier)
        changed = seen_version is not None and job.version != seen_version
        left = deadline - time.monotonic()
        if job.state.final or changed or left <= 0:
            return job
        time.sleep(min(WAIT_STEP_SECONDS, left))


def cancel(backend: Backend, owner: str, identifier: str) -> Job:
    """Stop a job for good; what it learned is kept as a model. Raises NotFound, WrongState."""
    with backend.database.writing() as connection:
        row = _row(connection, owner, identifier, lock=True)
        if row.state in FINAL_STATES:
            raise WrongState(f"the job has already {row.state}", row.state)
        if row.lease_until is not None:
            _ask(connection, identifier, "cancel")
        else:
            transitions.finish(
                connection,
                TABLE.c.id == identifier,
                state=JobState.CANCELLED,
                stopped="cancelled",
            )
    return get(backend, owner, identifier)


def pause(backend: Backend, owner: str, identifier: str) -> Job:
    """Stop a job until it is resumed. Raises NotFound, WrongState."""
    with backend.database.writing() as connection:
        row = _row(connection, owner, identifier, lock=True)
        if row.state not in (JobState.QUEUED, JobState.RUNNING) or row.pending == "cancel":
            raise WrongState(f"a job that is {row.state} cannot be paused", row.state)
        if row.lease_until is not None:
            _ask(connection, identifier, "pause")
        else:
            transitions.wait_again(connection, TABLE.c.id == identifier, state=JobState.PAUSED)
    return get(backend, owner, identifier)


def resume(backend: Backend, owner: str, identifier: str) -> Job:
    """Let a paused job go on, or withdraw a pause not yet in effect."""
    with backend.database.writing() as connection:
        row = _row(connection, owner, identifier, lock=True)
        if row.pending == "pause":
            transitions.change(connection, TABLE.c.id == identifier, pending=None, pending_at=None)
        elif row.state == JobState.PAUSED:
            transitions.wait_again(connection, TABLE.c.id == identifier, not_before=now())
        else:
            raise WrongState(f"a job that is {row.state} cannot be resumed", row.state)
    backend.doorbell.ring_soon(QUEUES[row.kind])
    return get(backend, owner, identifier)


def delete(backend: Backend, owner: str, identifier: str) -> None:
    """Remove a finished job with its story and checkpoints; its model stays.

    Raises NotFound, and WrongState while it is not finished.
    """
    with backend.database.writing() as connection:
        row = _row(connection, owner, identifier, lock=True)
        if row.state not in FINAL_STATES:
            raise WrongState(f"the job is {row.state}: cancel it first", row.state)
        kept = connection.scalar(
            sa.select(database.models.c.id).where(database.models.c.job == identifier)
        )
        connection.execute(sa.delete(TABLE).where(TABLE.c.id == identifier))
    orphans = [StoredFile(**file) for file in (row.checkpoint, row.previous_checkpoint) if file]
    if kept is None and row.candidate:
        orphans += [StoredFile(**file) for file in row.candidate["files"].values()]
    backend.store.delete(*orphans)


def _check_tutorial(backend: Backend, text: Dataset, config: TrainConfig) -> None:
    """Raise lstmcore's CorpusError when the lesson's recipe finds nothing in a text."""
    from lstmcore.tutorial import tutorial_pairs, tutorial_tokenizer  # noqa: PLC0415

    corpus = datasets.load_corpus(backend, text)
    tutorial_pairs(corpus, tutorial_tokenizer(corpus, config.tokenizer))


def _submit(
    backend: Backend,
    owner: str,
    *,
    kind: JobKind,
    name: str,
    config: Json,
    dataset: str | None,
    request: Json,
    idempotency_key: str | None,
) -> Job:
    digest = hashlib.sha256(json.dumps(request, sort_keys=True).encode()).hexdigest()
    identifier = new_id("job")
    row: Json = {
        "id": identifier,
        "owner": owner,
        "kind": kind,
        "name": name,
        "state": JobState.QUEUED,
        "priority": NORMAL_PRIORITY,
        "config": config,
        "dataset": dataset,
        "idempotency_key": idempotency_key,
        "request_sha256": digest,
    }
    try:
        with backend.database.writing() as connection:
            known = _known(connection, owner, idempotency_key, digest)
            if known is None:
                _check_quota(connection, owner, backend.settings.max_active_jobs)
                connection.execute(sa.insert(TABLE).values(**row, **_new_row()))
                events.append(connection, identifier, "state", {"state": JobState.QUEUED})
    except sa.exc.IntegrityError:
        # The same request came twice at the same moment, and the other one was first.
        with backend.database.reading() as connection:
            known = _known(connection, owner, idempotency_key, digest)
        if known is None:
            raise
    # Only now, with the record committed, may a message leave.
    backend.doorbell.ring_soon(QUEUES[kind])
    return get(backend, owner, known or identifier)


def _new_row() -> Json:
    """The columns that are the same for every new job."""
    return {
        "version": 1,
        "slices": 0,
        "progress": transitions.progress_json(Progress()),
        "metrics": {},
        "lease_epoch": 0,
        "attempts": 0,
        "lost_leases": 0,
        "not_before": 0.0,
        "waiting_since": now(),
        "served_at": 0.0,
        "notified_at": now(),
        "notifications": 0,
        "created_at": now(),
    }


def _known(
    connection: sa.Connection, owner: str, idempotency_key: str | None, digest: str
) -> str | None:
    """The job an earlier request with this key made; InvalidInput if it asked for another thing."""
    if idempotency_key is None:
        return None
    row = connection.execute(
        sa.select(TABLE.c.id, TABLE.c.request_sha256).where(
            TABLE.c.owner == owner, TABLE.c.idempotency_key == idempotency_key
        )
    ).one_or_none()
    if row is None:
        return None
    if row.request_sha256 != digest:
        raise InvalidInput(
            "this Idempotency-Key was used for another request",
            [{"loc": ["Idempotency-Key"], "msg": "use a fresh key for a different request"}],
        )
    return str(row.id)


def _check_quota(connection: sa.Connection, owner: str, most: int) -> None:
    # The active ones by name: the index finds them, however many finished ones there are.
    active = connection.scalar(
        sa.select(sa.func.count()).where(TABLE.c.owner == owner, TABLE.c.state.in_(ACTIVE_STATES))
    )
    if most and (active or 0) >= most:
        raise QuotaExceeded(
            f"you have {active} unfinished jobs and may have {most}: wait for one or cancel one"
        )


def _row(
    connection: sa.Connection, owner: str, identifier: str, *, lock: bool = False
) -> "sa.Row[Any]":
    query = sa.select(TABLE).where(TABLE.c.id == identifier, TABLE.c.owner == owner)
    row = connection.execute(query.with_for_update() if lock else query).one_or_none()
    if row is None:
        raise NotFound(f"there is no job {identifier}")
    return row


def _ask(connection: sa.Connection, identifier: str, what: str) -> None:
    transitions.change(connection, TABLE.c.id == identifier, pending=what, pending_at=now())


def _waits(row: "sa.Row[Any]") -> bool:
    return bool(row.state == JobState.QUEUED)
