"""Whether a request was accepted before: then what it made is the answer, once more.

Every table of what requests make has `idempotency_key` and `request_sha256`, which are unique
together with who asked. A secret that is shown once is not part of what comes again: it is
kept nowhere.
"""

import hashlib
import json
import os
from dataclasses import dataclass
from typing import IO, Any

import sqlalchemy as sa

from worker import database
from worker.backend import Backend
from worker.errors import InvalidInput, WrongState
from worker.records import JobState, Json

TABLE = database.jobs
# A client that got no answer asks again within its own timeout, ten minutes for most.
REPEAT_SECONDS = 600.0
REPEATED = "repeated-"
COLUMNS = ("idempotency_key", "request_sha256")
HALF = 32  # hex digits
CHUNK_BYTES = 1024 * 1024


@dataclass(frozen=True)
class TrialOf:
    """Which trial of which sweep a training is."""

    sweep: str
    number: int


@dataclass(frozen=True)
class Attempt:
    """How a client that sends no key, but says when it asks again, came to ask.

    A repeated request gets the job of the first one, whichever of the two is served first.
    """

    arrived: float  # by the database's clock
    repeated: bool


def digest(request: Json, content: object) -> str:
    """What makes a request the same: one half from it, one from what it is about.

    What it is about (a text, a model) may have been deleted when it comes again.
    """
    return _half(request) + _half(content)


def _half(value: object) -> str:
    whole = json.dumps(value, sort_keys=True).encode()
    return hashlib.sha256(whole).hexdigest()[:HALF]


def fingerprint(source: bytes | IO[bytes]) -> str:
    """The SHA-256 of an upload, whose bytes are read from the beginning."""
    if isinstance(source, bytes):
        return hashlib.sha256(source).hexdigest()
    whole = hashlib.sha256()
    source.seek(0, os.SEEK_SET)
    while chunk := source.read(CHUNK_BYTES):
        whole.update(chunk)
    return whole.hexdigest()


def used(backend: Backend, owner: str, idempotency_key: str | None) -> bool:
    """Whether a job was accepted under this key."""
    if idempotency_key is None:
        return False
    with backend.database.reading() as connection:
        return connection.execute(_under(owner, idempotency_key)).first() is not None


def of_what_is_gone(
    backend: Backend, owner: str, idempotency_key: str | None, request: Json
) -> str | None:
    """The job of an earlier request with this key, though its text or model is gone by now."""
    if idempotency_key is None:
        return None
    with backend.database.reading() as connection:
        row = connection.execute(_under(owner, idempotency_key)).one_or_none()
    same = row is not None and row.request_sha256[:HALF] == _half(request)
    return str(row.id) if row is not None and same else None


def _under(owner: str, idempotency_key: str, table: sa.Table = TABLE) -> "sa.Select[Any]":
    return sa.select(table.c.id, table.c.request_sha256).where(
        _asker(table) == owner, table.c.idempotency_key == idempotency_key
    )


def _asker(table: sa.Table) -> "sa.Column[Any]":
    """Who asked for it: its owner, but an admin makes keys for others."""
    return table.c.made_by if "made_by" in table.c else table.c.owner


def known(
    connection: sa.Connection,
    owner: str,
    idempotency_key: str | None,
    digest: str,
    table: sa.Table = TABLE,
) -> str | None:
    """The id of what an earlier request with this key made (a job).

    Until the transaction ends, no other request with this key passes here. Raises InvalidInput if
    the earlier one asked for another thing.
    """
    if idempotency_key is None:
        return None
    database.one_at_a_time(connection, f"{table.name} {owner} {idempotency_key}")
    row = connection.execute(_under(owner, idempotency_key, table)).one_or_none()
    if row is None:
        return None
    if row.request_sha256 != digest:
        raise InvalidInput(
            "this Idempotency-Key was used for another request",
            [{"loc": ["Idempotency-Key"], "msg": "use a fresh key for a different request"}],
        )
    return str(row.id)


def made_before(
    connection: sa.Connection,
    owner: str,
    idempotency_key: str | None,
    attempt: Attempt | None,
    digest: str,
    table: sa.Table = TABLE,
) -> str | None:
    """The same, whichever way the client can be known again by. Raises InvalidInput."""
    found = known(connection, owner, idempotency_key, digest, table)
    if found is None and attempt is not None:
        found = twin(connection, owner, attempt, digest, table)
    return found


def made_already(connection: sa.Connection, trial: TrialOf) -> str | None:
    """The job that a trial is already. Raises WrongState when its sweep has ended."""
    sweeps = database.sweeps
    state = connection.scalar(
        sa.select(sweeps.c.state).where(sweeps.c.id == trial.sweep).with_for_update()
    )
    if state != JobState.RUNNING:
        raise WrongState("the sweep has ended", str(state))
    this = (TABLE.c.sweep == trial.sweep, TABLE.c.trial == trial.number)
    return connection.scalar(sa.select(TABLE.c.id).where(*this))


def twin(
    connection: sa.Connection, owner: str, attempt: Attempt, digest: str, table: sa.Table = TABLE
) -> str | None:
    """The id of what another attempt of the same request made (a job)."""
    database.one_at_a_time(connection, digest)
    same = (
        sa.select(table.c.id)
        .where(table.c.owner == owner, table.c.request_sha256 == digest)
        .order_by(table.c.created_at.desc())
        .limit(1)
    )
    if attempt.repeated:
        same = same.where(table.c.created_at >= attempt.arrived - REPEAT_SECONDS)
        if table is TABLE:  # cancelled since: then this one is not about that job
            same = same.where(table.c.state != JobState.CANCELLED)
        return connection.scalar(same)
    # The first attempt may come after its own repetition, if it was held up on its way.
    made_meanwhile = table.c.created_at >= attempt.arrived
    repetition = table.c.idempotency_key.startswith(REPEATED)
    return connection.scalar(same.where(made_meanwhile, repetition))


def unmarked(row: "sa.Row[Any]") -> dict[str, Any]:
    """The values of a row but for what it is known again by."""
    return {name: value for name, value in row._mapping.items() if name not in COLUMNS}


def key_of(identifier: str, idempotency_key: str | None, attempt: Attempt | None) -> str | None:
    """What is kept as the key of a request: a repetition without one is marked as such."""
    if attempt and attempt.repeated and idempotency_key is None:
        return f"{REPEATED}{identifier}"
    return idempotency_key
