"""Webhooks: who is told when a job ends, and the outbox of what they are told.

A message is a row, written in the transaction that ends the job: nothing that happens to Redis or
to a process loses it. `worker.delivery` sends what is due; a message may come twice, with its id.
Messages are signed as Standard Webhooks says, so OpenAI's clients accept them.
"""

import base64
import json
import secrets
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import sqlalchemy as sa

from worker import database, paging, repeats
from worker.backend import Backend
from worker.database import now
from worker.errors import InvalidInput, NotFound, QuotaExceeded
from worker.naming import new_id
from worker.records import Json, Page

TABLE, OUTBOX = database.webhooks, database.deliveries
MOST_WEBHOOKS = 20  # of an owner
LONGEST_URL = 2000
SECRET = "whsec_"  # noqa: S105 - what every secret begins with
SECRET_BYTES = 32
TEST = "webhook.test"
KEEP_DAYS = 30
# How OpenAI calls the end of a training; other jobs are ours.
FINE_TUNING = "fine_tuning.job"


@dataclass(frozen=True)
class Webhook:
    """An address that is told."""

    id: str
    url: str
    created_at: float


@dataclass(frozen=True)
class Delivery:
    """One message to one address."""

    id: str
    type: str
    attempts: int
    due_at: float | None  # when it is tried next; None: delivered, or given up
    delivered_at: float | None
    problem: str | None  # of the last attempt
    created_at: float

    @property
    def state(self) -> str:
        """`waiting`, `delivered` or `failed`."""
        if self.delivered_at is not None:
            return "delivered"
        return "failed" if self.due_at is None else "waiting"


def create(
    backend: Backend, owner: str, url: str, idempotency_key: str | None = None
) -> tuple[Webhook, str | None]:
    """Make a webhook; its secret is returned here and never again (None: made before).

    Raises InvalidInput, QuotaExceeded.
    """
    _check_url(url)
    digest = repeats.digest({}, url)
    identifier = new_id("hook")
    secret = SECRET + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()
    with backend.database.writing() as connection:
        database.one_at_a_time(connection, f"webhooks of {owner}")
        known = repeats.known(connection, owner, idempotency_key, digest, TABLE)
        if known is None:
            mine = sa.select(sa.func.count()).where(TABLE.c.owner == owner)
            if (connection.scalar(mine) or 0) >= MOST_WEBHOOKS:
                raise QuotaExceeded(f"you have {MOST_WEBHOOKS} webhooks: delete one first", 60)
            values: Json = {"id": identifier, "owner": owner, "url": url, "secret": secret}
            values |= {"idempotency_key": idempotency_key, "request_sha256": digest}
            connection.execute(sa.insert(TABLE).values(**values, created_at=now()))
    return get(backend, owner, known or identifier), None if known else secret


def get(backend: Backend, owner: str, identifier: str) -> Webhook:
    """One webhook of this owner. Raises NotFound."""
    with backend.database.reading() as connection:
        return _read(_row(connection, owner, identifier))


def list_page(
    backend: Backend, owner: str, *, limit: int = 20, after: str | None = None
) -> Page[Webhook]:
    """Webhooks of this owner, newest first."""
    query = paging.of_owner(TABLE, owner)
    with backend.database.reading() as connection:
        return paging.page_of(connection, query, TABLE, after=after, limit=limit, read=_read)


def delete(backend: Backend, owner: str, identifier: str) -> None:
    """Remove a webhook and what waits for it. Raises NotFound."""
    with backend.database.writing() as connection:
        _row(connection, owner, identifier)
        connection.execute(sa.delete(OUTBOX).where(OUTBOX.c.webhook == identifier))
        connection.execute(sa.delete(TABLE).where(TABLE.c.id == identifier))


def test(backend: Backend, owner: str, identifier: str) -> Delivery:
    """Send a message that says nothing, to see whether it arrives. Raises NotFound."""
    with backend.database.writing() as connection:
        _row(connection, owner, identifier)
        made = _put(connection, identifier, TEST, {"webhook": identifier})
        row = connection.execute(sa.select(OUTBOX).where(OUTBOX.c.id == made)).one()
    return read_delivery(row)


def deliveries(
    backend: Backend, owner: str, identifier: str, *, limit: int = 20, after: str | None = None
) -> Page[Delivery]:
    """What a webhook was told and will be told, newest first. Raises NotFound."""
    query = sa.select(OUTBOX).where(OUTBOX.c.webhook == identifier)
    with backend.database.reading() as connection:
        _row(connection, owner, identifier)
        return paging.page_of(
            connection, query, OUTBOX, after=after, limit=limit, read=read_delivery
        )


def job_ended(connection: sa.Connection, row: "sa.Row[Any]") -> None:
    """Within the transaction that ends a job: put a message for each webhook of its owner."""
    hooks = connection.scalars(sa.select(TABLE.c.id).where(TABLE.c.owner == row.owner)).all()
    kind = row.config.get("task", row.kind)
    is_training = kind == "train"
    about = {"id": f"ftjob-{row.id.partition('-')[2]}" if is_training else row.id}
    about |= {"job": row.id, "kind": kind, "name": row.name, "state": str(row.state)}
    event = FINE_TUNING if is_training else kind
    for hook in hooks:
        _put(connection, hook, f"{event}.{row.state}", about)


def prune(backend: Backend) -> None:
    """Forget messages that were delivered or given up long ago."""
    old = (OUTBOX.c.due_at.is_(None), OUTBOX.c.created_at < now() - KEEP_DAYS * 86_400)
    with backend.database.writing() as connection:
        connection.execute(sa.delete(OUTBOX).where(*old))


def read_delivery(row: "sa.Row[Any]") -> Delivery:
    """The record of a row."""
    return Delivery(
        id=row.id,
        type=row.type,
        attempts=row.attempts,
        due_at=row.due_at,
        delivered_at=row.delivered_at,
        problem=row.problem,
        created_at=row.created_at,
    )


def _put(connection: sa.Connection, webhook: str, kind: str, about: Json) -> str:
    identifier = new_id("msg")
    at = int(connection.scalar(sa.select(now())) or 0)
    body = {"id": identifier, "object": "event", "created_at": at, "type": kind, "data": about}
    values = {"id": identifier, "webhook": webhook, "type": kind, "body": json.dumps(body)}
    connection.execute(
        sa.insert(OUTBOX).values(**values, attempts=0, due_at=now(), created_at=now())
    )
    return identifier


def _row(connection: sa.Connection, owner: str, identifier: str) -> "sa.Row[Any]":
    query = sa.select(TABLE).where(TABLE.c.id == identifier, TABLE.c.owner == owner)
    row = connection.execute(query).one_or_none()
    if row is None:
        raise NotFound(f"there is no webhook {identifier}")
    return row


def _read(row: "sa.Row[Any]") -> Webhook:
    return Webhook(id=row.id, url=row.url, created_at=row.created_at)


def _check_url(url: str) -> None:
    message = "give an http or https address with a host, without user and password"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), 0
    fine = parts.scheme in ("http", "https") and parts.hostname and not parts.username
    plain = url.isascii() and url.isprintable() and " " not in url and len(url) <= LONGEST_URL
    if not (fine and plain) or port == 0:
        raise InvalidInput(f"`url`: {message}", [{"loc": ["url"], "msg": message}])
