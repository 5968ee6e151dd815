"""Datasets: texts as they were given to us, decoded, parsed and stored once."""

import json
import os
import shutil
from contextlib import suppress
from dataclasses import asdict
from typing import IO, Any

import sqlalchemy as sa

from lstmcore.config import Level, TrainConfig, resolve_config
from lstmcore.corpus import Corpus, CorpusSummary, Layout
from lstmcore.estimate import Estimate
from lstmcore.estimate import estimate as estimate_training
from worker import database, intake, paging, quotas, repeats, retention, speed
from worker.backend import Backend
from worker.errors import InvalidInput, NotFound, StoreError, Unavailable, WrongState
from worker.naming import check_name, new_id
from worker.records import FINAL_STATES, Dataset, Json, Page, StoredFile

TABLE = database.datasets
OPENING_BYTES = 4_096


def create(
    backend: Backend,
    owner: str,
    *,
    name: str,
    data: bytes | IO[bytes],
    filename: str | None = None,
    encoding: str | None = None,
    layout: Layout | None = None,
    came_with_job: bool = False,
    idempotency_key: str | None = None,
    attempt: repeats.Attempt | None = None,
) -> Dataset:
    """Decode, parse and store a text, given as bytes or as the file it was spooled to.

    One that came with a job goes when no job uses it any more. The same request sent again gets
    what the first one stored.

    Raises lstmcore's CorpusError when it cannot be read as what it seems to be, InvalidInput for a
    bad name and Unavailable when the store does not take it; then nothing is left behind.
    """
    clean_name = check_name(name or filename or "text")
    _check_size(backend, data)
    wanted = intake.Wanted(filename, encoding, layout)
    digest = None
    if idempotency_key or attempt:
        digest = repeats.digest(asdict(wanted) | {"name": name}, repeats.fingerprint(data))
    asked = (owner, idempotency_key, attempt, digest or "", TABLE)
    with backend.database.reading() as connection:
        known = repeats.made_before(connection, *asked)
    if known is not None:  # not read again, nor refused for a quota that it is part of
        return get(backend, owner, known)
    with intake.read(data, wanted, backend.settings.max_reading_bytes) as read:
        quotas.check_stored(backend, owner, read.size)
        identifier = new_id("data")
        began = backend.database.time()
        try:
            file = backend.store.put(f"datasets/{identifier}", read.content)
        except StoreError as error:
            raise Unavailable(f"the text could not be stored: {error}") from error
    row = {
        "id": identifier,
        "owner": owner,
        "name": clean_name,
        "layout": read.layout,
        "file": asdict(file),
        "report": read.report,
        "came_with_job": came_with_job,
        "idempotency_key": repeats.key_of(identifier, idempotency_key, attempt),
        "request_sha256": digest,
        "created_at": database.now(),
    }
    with backend.database.writing() as connection:
        retention.check_in_time(connection, began)
        known = repeats.made_before(connection, *asked)
        if known is None:
            connection.execute(sa.insert(TABLE).values(**row))
    if known is not None:
        backend.store.delete(file)
    return get(backend, owner, known or identifier)


def _check_size(backend: Backend, data: bytes | IO[bytes]) -> None:
    size = len(data) if isinstance(data, bytes) else data.seek(0, os.SEEK_END)
    if size > backend.settings.max_upload_bytes:
        raise InvalidInput(
            f"the text has {size:,} bytes; at most "
            f"{backend.settings.max_upload_bytes:,} are taken (LSTMQ_MAX_UPLOAD_BYTES)",
            [{"loc": ["file"], "msg": "too large"}],
        )


# Made once: making a statement takes as long as running it.
_ONE = sa.select(TABLE).where(
    TABLE.c.id == sa.bindparam("identifier", type_=sa.String),
    TABLE.c.owner == sa.bindparam("owner", type_=sa.String),
)


def get(backend: Backend, owner: str, identifier: str) -> Dataset:
    """One dataset of this owner. Raises NotFound."""
    with backend.database.reading() as connection:
        row = connection.execute(_ONE, {"identifier": identifier, "owner": owner}).one_or_none()
    if row is None:
        raise NotFound(f"there is no dataset {identifier}")
    return _read(row)


def list_page(
    backend: Backend,
    owner: str,
    *,
    limit: int = 20,
    after: str | None = None,
    name: str | None = None,
    oldest_first: bool = False,
) -> Page[Dataset]:
    """Datasets of this owner, newest first; `name` finds those whose name contains it."""
    query = paging.of_owner(TABLE, owner, name)
    with backend.database.reading() as connection:
        return paging.page_of(
            connection,
            query,
            TABLE,
            after=after,
            limit=limit,
            read=_read,
            order=paging.Order(TABLE.c.created_at, descending=not oldest_first),
        )


def delete(backend: Backend, owner: str, identifier: str) -> None:
    """Remove a dataset. Raises NotFound, and WrongState while a job or sweep under way reads it."""
    dataset = get(backend, owner, identifier)
    jobs, sweeps = database.jobs, database.sweeps
    with backend.database.writing() as connection:
        searches = sa.select(sweeps.c.id).where(sweeps.c.dataset == identifier)
        sweep = connection.scalar(searches.where(sweeps.c.state.not_in(FINAL_STATES)).limit(1))
        if sweep is not None:
            raise WrongState(f"the sweep {sweep} still reads this dataset", "in use")
        using = sa.select(jobs.c.id).where(jobs.c.dataset == identifier)
        active = connection.scalar(using.where(jobs.c.state.not_in(FINAL_STATES)).limit(1))
        if active is not None:
            raise WrongState(f"the job {active} still reads this dataset", "in use")
        connection.execute(sa.update(jobs).where(jobs.c.dataset == identifier).values(dataset=None))
        connection.execute(sa.delete(TABLE).where(TABLE.c.id == identifier))
    backend.store.delete(dataset.file)
    shutil.rmtree(backend.token_ids(identifier), ignore_errors=True)


def load_corpus(backend: Backend, dataset: Dataset) -> Corpus:
    """The text itself. Raises StoreError when the artifact is gone or damaged."""
    return Corpus.from_bytes(_layout(dataset), backend.store.read(dataset.file))


def opening(backend: Backend, dataset: Dataset) -> str:
    """The first line that says something, without reading the rest; of pairs, its prompt.

    Empty when there is none in the first few thousand bytes. Raises StoreError.
    """
    data = b""
    for chunk in backend.store.stream(dataset.file):
        data += chunk
        if len(data) >= OPENING_BYTES:
            break
    lines = data[:OPENING_BYTES].decode(errors="ignore").split("\n")
    line = next((line.strip() for line in lines if line.strip()), "")
    if dataset.layout != "pairs":
        return line
    with suppress(ValueError, KeyError):  # a line may be cut off
        return str(json.loads(line)["prompt"])
    return ""


def summary_of(dataset: Dataset) -> CorpusSummary:
    """The counts that configurations are chosen from, taken when the text was stored."""
    return CorpusSummary(**dataset.report["summary"])


def preview(backend: Backend, owner: str, identifier: str, level: Level = "word") -> Json:
    """What a model would see of it: the first lines as tokens and ids, counts, shares."""
    from lstmcore.inspection import preview as inspect_corpus  # noqa: PLC0415 - loads tokenizers

    dataset = get(backend, owner, identifier)
    return inspect_corpus(load_corpus(backend, dataset), level)


def estimate(backend: Backend, owner: str, identifier: str, config: Json) -> Json:
    """Parameters, memory and time that a training with this configuration would take here."""
    summary = summary_of(get(backend, owner, identifier))
    estimated = estimate_of(summary, resolve_config(config, summary))
    return asdict(speed.expect(backend, estimated))


def estimate_of(summary: CorpusSummary, config: TrainConfig) -> Estimate:
    """The estimate for a resolved configuration, from the counts alone."""
    character = config.tokenizer.level == "char"
    distinct = summary.distinct_characters if character else summary.distinct_words
    vocabulary = min(distinct, config.tokenizer.vocab_size) + 3
    tokens = summary.characters if character else summary.words
    one_by_one = summary.layout == "pairs" or config.preset == "tutorial"
    documents = summary.documents if one_by_one else None
    return estimate_training(config, vocabulary, tokens, documents=documents)


def _layout(dataset: Dataset) -> Any:
    return dataset.layout


def _read(row: "sa.Row[Any]") -> Dataset:
    values = repeats.unmarked(row)
    return Dataset(**(values | {"file": StoredFile(**values["file"])}))
