"""Models: folders of four files under a name somebody chose."""

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from lstmcore.errors import CheckpointError
from lstmcore.model_record import FILES
from worker import database, paging, quotas, repeats, retention
from worker.backend import Backend
from worker.errors import InvalidInput, NotFound, StoreError, Unavailable, WrongState
from worker.naming import check_name, new_id
from worker.records import ACTIVE_STATES, Job, Json, Model, Page, StoredFile

TABLE = database.models
TRAINING = "job-"  # what the ids of trainings begin with
_REFERENCE = sa.bindparam("reference", type_=sa.String)
# An id always means the model that has it, whatever others are called.
_IDENTIFY = (
    sa.select(TABLE.c.id)
    .where(
        TABLE.c.owner == sa.bindparam("owner", type_=sa.String),
        sa.or_(TABLE.c.id == _REFERENCE, TABLE.c.name == _REFERENCE),
    )
    .order_by(sa.case((TABLE.c.id == _REFERENCE, 0), else_=1))
    .limit(1)
)


def get(backend: Backend, owner: str, id_or_name: str) -> Model:
    """One model of this owner, by id or by name. Raises NotFound."""
    query = sa.select(TABLE).where(
        TABLE.c.owner == owner, sa.or_(TABLE.c.id == id_or_name, TABLE.c.name == id_or_name)
    )
    with backend.database.reading() as connection:
        rows = connection.execute(query).all()
    if not rows:
        raise NotFound(f"there is no model {id_or_name}")
    # An id always means the model that has it, whatever others are called.
    return read_model(next((row for row in rows if row.id == id_or_name), rows[0]))


def get_or_best(backend: Backend, owner: str, reference: str) -> Model:
    """The same to ask it something: a training's id means the best model it has so far."""
    if reference.startswith(TRAINING):
        return _best_of_training(backend, reference, database.jobs.c.owner == owner)
    return get(backend, owner, reference)


def identify(backend: Backend, owner: str, reference: str) -> str:
    """The id of what `get_or_best` finds, for those who need no more: far cheaper."""
    if reference.startswith(TRAINING):
        return get_or_best(backend, owner, reference).id
    row = backend.database.look(_IDENTIFY, owner=owner, reference=reference)
    if row is None:
        raise NotFound(f"there is no model {reference}")
    return str(row[0])


def list_page(
    backend: Backend,
    owner: str,
    *,
    limit: int = 20,
    after: str | None = None,
    name: str | None = None,
) -> Page[Model]:
    """Models of this owner, newest first; `name` finds those whose name contains it."""
    query = paging.of_owner(TABLE, owner, name)
    with backend.database.reading() as connection:
        return paging.page_of(connection, query, TABLE, after=after, limit=limit, read=read_model)


def rename(backend: Backend, owner: str, id_or_name: str, name: str) -> Model:
    """Give a model another name. Raises InvalidInput when the owner uses it already."""
    model, clean = get(backend, owner, id_or_name), check_name(name)
    try:
        with backend.database.writing() as connection:
            connection.execute(sa.update(TABLE).where(TABLE.c.id == model.id).values(name=clean))
    except sa.exc.IntegrityError as error:
        raise InvalidInput(
            f"you have another model called {clean}",
            [{"loc": ["name"], "msg": "choose a name that no other model of yours has"}],
        ) from error
    return get(backend, owner, model.id)


def delete(backend: Backend, owner: str, id_or_name: str) -> None:
    """Remove a model. Raises WrongState while an unfinished job needs it."""
    model = get(backend, owner, id_or_name)
    jobs = database.jobs
    with backend.database.writing() as connection:
        unfinished = connection.execute(
            sa.select(jobs.c.id, jobs.c.config).where(
                jobs.c.owner == owner, jobs.c.state.in_(ACTIVE_STATES)
            )
        )
        for job in unfinished:
            if model.id in (job.config.get("model"), job.config.get("init_from")):
                raise WrongState(f"the job {job.id} still needs this model", "in use")
        connection.execute(sa.delete(TABLE).where(TABLE.c.id == model.id))
        points_at = sa.select(jobs.c.candidate).where(jobs.c.id == model.job)
        shared = connection.scalar(points_at)
    if not shared:
        backend.store.delete(*model.files.values())


def open_file(backend: Backend, model: Model, filename: str) -> Iterator[bytes]:
    """One file of the folder in chunks. Raises NotFound, StoreError."""
    if filename not in model.files:
        raise NotFound(f"a model has no file {filename}")
    return backend.store.stream(model.files[filename])


def read_bytes(backend: Backend, model: Model, filename: str) -> bytes:
    """One file of the folder. Raises NotFound, StoreError."""
    return b"".join(open_file(backend, model, filename))


def download(backend: Backend, model: Model, folder: Path) -> Path:
    """Copy the model's files into a local folder, which is made. Raises StoreError."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, file in model.files.items():
        backend.store.download(file, folder / name)
    return folder


def import_folder(
    backend: Backend, owner: str, name: str, folder: Path, idempotency_key: str | None = None
) -> Model:
    """Store a folder that was made here or elsewhere as a model, once its files fit together.

    The same request sent again gets the model of the first one. Raises InvalidInput, QuotaExceeded,
    Unavailable.
    """
    from lstmcore.model_check import check_model_folder  # noqa: PLC0415 - loads tokenizers

    clean = check_name(name)
    digest = _digest(name, folder) if idempotency_key else ""
    with backend.database.reading() as connection:
        known = repeats.known(connection, owner, idempotency_key, digest, TABLE)
    if known is not None:
        return get(backend, owner, known)
    try:
        record = check_model_folder(folder)
    except CheckpointError as error:
        raise InvalidInput(str(error), [{"loc": ["file"], "msg": str(error)}]) from error
    quotas.check_stored(backend, owner, sum((folder / file).stat().st_size for file in FILES))
    identifier = new_id("model")
    began = backend.database.time()
    try:
        stored = {
            filename: backend.store.put(f"models/{identifier}/{filename}", folder / filename)
            for filename in FILES
        }
    except StoreError as error:
        raise Unavailable(f"the model could not be stored: {error}") from error
    with backend.database.writing() as connection:
        retention.check_in_time(connection, began)
        known = repeats.known(connection, owner, idempotency_key, digest, TABLE)
        if known is None:
            add(
                connection,
                identifier=identifier,
                owner=owner,
                name=clean,
                job=None,
                config=record.config.model_dump(mode="json"),
                metrics={
                    "step": record.step,
                    "train_loss": record.train_loss,
                    "validation_loss": record.validation_loss,
                },
                files={filename: asdict(file) for filename, file in stored.items()},
                known_by={"idempotency_key": idempotency_key, "request_sha256": digest or None},
            )
    if known is not None:
        backend.store.delete(*stored.values())
    return get(backend, owner, known or identifier)


def _digest(name: str, folder: Path) -> str:
    """What makes an import the same: the name asked for, and every file."""
    contents = []
    for filename in FILES:
        with (folder / filename).open("rb") as file:
            contents.append(repeats.fingerprint(file))
    return repeats.digest({"name": name}, contents)


def add(
    connection: sa.Connection,
    *,
    owner: str,
    name: str,
    job: str | None,
    config: Json,
    metrics: Json,
    files: Json,
    identifier: str | None = None,
    known_by: Json | None = None,
) -> str:
    """Add a model within the caller's transaction; its id. A name in use gets a number.

    `known_by`: the columns that `repeats` knows its request again by.
    """
    insert = database.insert(connection, TABLE)
    identifier = identifier or new_id("model")
    suffix = 1
    while True:
        row = {
            "id": identifier,
            "owner": owner,
            "name": name if suffix == 1 else f"{name} {suffix}",
            "job": job,
            "created_at": database.now(),
            "config": config,
            "metrics": metrics,
            "files": files,
            **(known_by or {}),
        }
        statement = insert.values(**row).on_conflict_do_nothing(index_elements=["owner", "name"])
        if connection.execute(statement.returning(TABLE.c.id)).one_or_none():
            return identifier
        suffix += 1


def read_model(row: "sa.Row[Any]") -> Model:
    """The record of a row."""
    values = repeats.unmarked(row)
    files = {name: StoredFile(**file) for name, file in values["files"].items()}
    return Model(**(values | {"files": files}))


def best_of(job: "Job | sa.Row[Any]") -> Model | None:
    """The best model a training has so far, under the training's id; None before there is one.

    Its files stay until the training finds a better one.
    """
    if job.candidate is None:
        return None
    return Model(
        id=job.id,
        owner=job.owner,
        name=job.name,
        job=job.id,
        created_at=job.finished_at or job.started_at or job.created_at,
        config=job.config,
        metrics=job.candidate["metrics"] | {"step": job.candidate["step"]},
        files={name: StoredFile(**file) for name, file in job.candidate["files"].items()},
    )


def _best_of_training(
    backend: Backend, identifier: str, *conditions: "sa.ColumnElement[bool]"
) -> Model:
    jobs = database.jobs
    query = sa.select(jobs).where(jobs.c.id == identifier, *conditions)
    with backend.database.reading() as connection:
        row = connection.execute(query).one_or_none()
    best = best_of(row) if row is not None else None
    if best is None:
        raise NotFound(f"there is no model {identifier}")
    return best


def get_any(backend: Backend, identifier: str) -> Model:
    """A model by id whoever owns it: for workers, whose jobs were checked when submitted."""
    if identifier.startswith(TRAINING):
        return _best_of_training(backend, identifier)
    with backend.database.reading() as connection:
        row = connection.execute(sa.select(TABLE).where(TABLE.c.id == identifier)).one_or_none()
    if row is None:
        raise NotFound(f"there is no model {identifier}")
    return read_model(row)
