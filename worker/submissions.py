"""Accepting work: what is true once a submit has been answered.

The record is committed, and only then is the queue told. From there on the job reaches a final
state whatever happens to the message, the queue or the workers.
"""

from collections.abc import Mapping, Sequence
from functools import cache

import sqlalchemy as sa

from lstmcore.config import (
    AUTO,
    TrainConfig,
    check_continues,
    continued_config,
    parse_config,
    parse_sampling,
    resolve_config,
)
from lstmcore.estimate import Estimate
from worker import (
    audit,
    database,
    datasets,
    events,
    jobs,
    logs,
    models,
    quotas,
    repeats,
    scheduling,
    speed,
    transitions,
)
from worker.backend import Backend
from worker.database import now
from worker.errors import InvalidInput, NotFound
from worker.naming import check_name, new_id
from worker.queue import QUEUES
from worker.records import Dataset, Job, JobKind, JobState, Json, Priority, Progress

TABLE = database.jobs
MOST_PROMPTS = 1000


def submit_train(
    backend: Backend,
    owner: str,
    *,
    name: str | None,
    dataset: str,
    config: Json,
    metadata: Mapping[str, str] | None = None,
    priority: Priority = Priority.NORMAL,
    idempotency_key: str | None = None,
    attempt: repeats.Attempt | None = None,
    trial: repeats.TrialOf | None = None,
) -> Job:
    """Accept a training: once this returns, the job will reach a final state.

    `config` is what the user sent; what is missing is chosen from the data. Raises NotFound for the
    dataset, lstmcore's ConfigError, InvalidInput when it cannot fit into memory, QuotaExceeded.
    """
    request = {"kind": "train", "name": name, "config": config, "priority": priority}
    request |= {"metadata": dict(metadata)} if metadata else {}
    if not repeats.used(backend, owner, idempotency_key):
        quotas.check_stored(backend, owner)
    try:
        text = datasets.get(backend, owner, dataset)
        asked = continued(backend, owner, config)
    except NotFound:
        if known := repeats.of_what_is_gone(backend, owner, idempotency_key, request):
            return jobs.get(backend, owner, known)
        raise
    resolved = resolve_config(asked, datasets.summary_of(text))
    if resolved.preset == "tutorial":
        _check_tutorial(backend, text, resolved)
    estimate = datasets.estimate_of(datasets.summary_of(text), resolved)
    check_memory(backend, estimate)
    if resolved.init_from is not None:
        start = models.get(backend, owner, resolved.init_from)
        check_continues(resolved, parse_config(start.config))
        resolved = resolved.model_copy(update={"init_from": start.id})
    # The text, not its id: a text inside a repeated request is another dataset each time.
    content = [text.layout, text.file.sha256]
    return accept(
        backend,
        owner,
        kind="train",
        name=check_name(name or text.name),
        config=resolved.model_dump(mode="json"),
        dataset=dataset,
        digest=repeats.digest(request, content),
        metadata=dict(metadata or {}),
        priority=priority,
        idempotency_key=idempotency_key,
        expectation=speed.expect(backend, estimate),
        attempt=attempt,
        trial=trial,
    )


def check_memory(backend: Backend, estimate: Estimate) -> None:
    """Raise InvalidInput, with the numbers, when a training cannot fit."""
    if estimate.memory_bytes > backend.settings.max_training_bytes:
        raise InvalidInput(
            f"this model needs about {estimate.memory_bytes / 2**20:,.0f} MiB to train; at most "
            f"{backend.settings.max_training_bytes / 2**20:,.0f} MiB are allowed here",
            [{"loc": ["config", "model"], "msg": "lower hidden_dim, embed_dim or vocab_size"}],
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
    priority: Priority = Priority.NORMAL,
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
    config: Json = {
        "prompts": list(prompts),
        "single": single,
        "sampling": parse_sampling(sampling).model_dump(mode="json"),
    }
    request = {"kind": "predict", "name": name, "priority": priority} | config
    try:
        trained = models.get(backend, owner, model)
    except NotFound:
        if known := repeats.of_what_is_gone(backend, owner, idempotency_key, request):
            return jobs.get(backend, owner, known)
        raise
    return accept(
        backend,
        owner,
        kind="predict",
        name=check_name(name or f"{trained.name} predicts"),
        config={"model": trained.id} | config,
        dataset=None,
        digest=repeats.digest(request, trained.id),
        priority=priority,
        idempotency_key=idempotency_key,
    )


def continued(backend: Backend, owner: str, config: Json) -> Json:
    """A request that goes on from a model, with what has to be as in that model filled in.

    Raises NotFound for the model. Other requests come back as they are.
    """
    start = config.get("init_from") if isinstance(config, Mapping) else None
    if not isinstance(start, str) or start in ("", AUTO):
        return config
    return continued_config(config, parse_config(models.get(backend, owner, start).config))


def _check_tutorial(backend: Backend, text: Dataset, config: TrainConfig) -> None:
    """Raise lstmcore's CorpusError when the lesson's recipe finds nothing in a text."""
    from lstmcore.tutorial import tutorial_pairs, tutorial_tokenizer  # noqa: PLC0415

    corpus = datasets.load_corpus(backend, text)
    tutorial_pairs(corpus, tutorial_tokenizer(corpus, config.tokenizer))


def accept(
    backend: Backend,
    owner: str,
    *,
    kind: JobKind,
    name: str,
    config: Json,
    dataset: str | None,
    digest: str,
    priority: Priority,
    idempotency_key: str | None,
    expectation: speed.Expectation | None = None,
    metadata: Json | None = None,
    attempt: repeats.Attempt | None = None,
    trial: repeats.TrialOf | None = None,
) -> Job:
    """Record a job, unless the same request made it before, and tell the queue."""
    identifier = new_id("job")
    idempotency_key = repeats.key_of(identifier, idempotency_key, attempt)
    row: Json = {
        "id": identifier,
        "owner": owner,
        "kind": kind,
        "name": name,
        "state": JobState.QUEUED,
        "priority": scheduling.PRIORITIES[priority],
        "config": config,
        "dataset": dataset,
        "metadata": metadata or {},
        "idempotency_key": idempotency_key,
        "request_sha256": digest,
        "request_id": logs.named("request"),
        "sweep": trial.sweep if trial else None,
        "trial": trial.number if trial else None,
    }
    try:
        with backend.database.writing() as connection:
            known = repeats.made_before(connection, owner, idempotency_key, attempt, digest)
            if known is None and trial is not None:
                known = repeats.made_already(connection, trial)
            if known is None:
                if trial is None:  # a sweep counts as one, however many trials it has
                    quotas.check_active(connection, owner, backend.settings.max_active_jobs)
                if kind == "train":
                    quotas.check_training(connection, owner, backend.settings)
                scheduling.make_known(connection, owner)
                connection.execute(_insertion(row["priority"]), row)
                events.append(connection, identifier, "state", {"state": JobState.QUEUED})
                if expectation is not None:
                    speed.keep(connection, identifier, expectation)
            audit.add(connection, known or identifier)
        audit.added()
    except sa.exc.IntegrityError:
        # The same request came twice at the same moment, and the other one was first.
        with backend.database.reading() as connection:
            known = repeats.known(connection, owner, idempotency_key, digest)
        if known is None:
            raise NotFound(f"the dataset {dataset} was removed meanwhile") from None
    # Only now, with the record committed, may a message leave.
    backend.doorbell.ring_soon(QUEUES[kind])
    logs.name(job=known or identifier)
    return jobs.get(backend, owner, known or identifier)


@cache
def _insertion(priority: int) -> "sa.Insert":
    """What makes a row, with the columns that are the same for every new job of a priority."""
    same: Json = scheduling.line_up(priority) | {
        "version": 1,
        "slices": 0,
        "progress": transitions.progress_json(Progress()),
        "metrics": {},
        "lease_epoch": 0,
        "attempts": 0,
        "lost_leases": 0,
        "postponements": 0,
        "not_before": 0.0,
        "served_at": 0.0,
        "created_at": now(),
    }
    return sa.insert(TABLE).values(**same)
