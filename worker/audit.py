"""The audit log: who changed what, when and from where. Entries are added and never changed.

What changes records at the price of a sync to the disk notes it in the same transaction (`add`);
whoever answers the request notes the rest (`note`).

Looking at things is not noted, nor is asking a model, which leaves no record anywhere.
"""

from contextvars import ContextVar
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import sqlalchemy as sa

from worker import database, paging
from worker.backend import Backend
from worker.database import now
from worker.naming import new_id
from worker.records import Json, Page

TABLE = database.audit
DAY_SECONDS = 86_400


@dataclass(frozen=True)
class Entry:
    """Something somebody did, or was not allowed to do."""

    id: str
    created_at: float
    owner: str  # "" when nobody knew who it was
    key: str  # id of the key; "" without keys
    action: str  # the route's name, such as `api.jobs.cancel`
    target: str  # id or name of what it was done to; "" when it has none
    status: int  # of the answer, 202 for an accepted job; 0 from the command line
    address: str  # where the request came from
    request: str  # its x-request-id


@dataclass
class Deed:
    """What somebody is doing, until it is an entry."""

    owner: str
    action: str
    key: str = ""
    address: str = ""
    request: str = ""
    noted: bool = False  # for good, together with what it changed


_present: ContextVar[Deed | None] = ContextVar("deed", default=None)


def begin(deed: Deed | None) -> None:
    """Say what is done from here on in this thread; None: nothing that is noted."""
    _present.set(deed)


def add(connection: sa.Connection, target: str) -> None:
    """Note that what is done was accepted, within the caller's transaction; then `added`."""
    deed = _present.get()
    if deed is not None:
        connection.execute(_INSERT, _row(deed, target, HTTPStatus.ACCEPTED))


def added() -> None:
    """The transaction was committed."""
    deed = _present.get()
    if deed is not None:
        deed.noted = True


def note(backend: Backend, deed: Deed, *, target: str = "", status: int = 0) -> None:
    """Add an entry in a transaction of its own. Raises Unavailable."""
    with backend.database.writing() as connection:
        connection.execute(_INSERT, _row(deed, target, status))


_INSERT = sa.insert(TABLE).values(created_at=now())


def _row(deed: Deed, target: str, status: int) -> Json:
    return {
        "id": new_id("audit"),
        "owner": deed.owner[:100],
        "key": deed.key[:40],
        "action": deed.action[:100],
        "target": target[:200],
        "status": int(status),
        "address": deed.address[:64],
        "request": deed.request[:64],
    }


def list_page(
    backend: Backend,
    *,
    owner: str | None = None,
    action: str | None = None,
    target: str | None = None,
    limit: int = 20,
    after: str | None = None,
) -> Page[Entry]:
    """Entries that fit, newest first."""
    query: sa.Select[Any] = sa.select(TABLE)
    for column, wanted in ((TABLE.c.owner, owner), (TABLE.c.action, action)):
        query = query if wanted is None else query.where(column == wanted)
    query = query if target is None else query.where(TABLE.c.target == target)
    with backend.database.reading() as connection:
        return paging.page_of(
            connection,
            query,
            TABLE,
            after=after,
            limit=limit,
            read=lambda row: Entry(**row._asdict()),
        )


def prune(backend: Backend, days: float) -> int:
    """Remove entries older than so many days; 0: they stay."""
    if not days:
        return 0
    with backend.database.writing() as connection:
        old = TABLE.c.created_at < now() - days * DAY_SECONDS
        return connection.execute(sa.delete(TABLE).where(old)).rowcount
