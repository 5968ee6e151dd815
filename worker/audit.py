"""The audit log: who changed what, when and from where. Entries are added and never changed.

Looking at things is not noted, nor is asking a model, which leaves no record anywhere.
"""

from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from worker import database, paging
from worker.backend import Backend
from worker.database import now
from worker.naming import new_id
from worker.records import Page

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
    status: int  # of the answer; 0 from the command line
    address: str  # where the request came from
    request: str  # its x-request-id


def note(
    backend: Backend,
    *,
    owner: str,
    action: str,
    target: str = "",
    key: str = "",
    status: int = 0,
    address: str = "",
    request: str = "",
) -> None:
    """Add an entry. Raises Unavailable."""
    row = {
        "id": new_id("audit"),
        "created_at": now(),
        "owner": owner[:100],
        "key": key[:40],
        "action": action[:100],
        "target": target[:200],
        "status": status,
        "address": address[:64],
        "request": request[:64],
    }
    with backend.database.writing() as connection:
        connection.execute(sa.insert(TABLE).values(**row))


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
