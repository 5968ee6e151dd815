"""Lists by cursor: newest first unless asked otherwise; `after` is the id of the last record seen.

Keyset paging: a page costs the same however many records there are, and records that arrive in
between shift nothing.
"""

from collections.abc import Callable
from typing import Any

import sqlalchemy as sa

from worker.errors import InvalidInput
from worker.records import Page, T


def of_owner(table: sa.Table, owner: str, name: str | None = None) -> sa.Select[Any]:
    """The rows of an owner; `name` finds those whose name contains it, in any case."""
    query = sa.select(table).where(table.c.owner == owner)
    return query.where(table.c.name.icontains(name, autoescape=True)) if name else query


def page_of(
    connection: sa.Connection,
    query: sa.Select[Any],
    table: sa.Table,
    *,
    after: str | None,
    limit: int,
    read: Callable[[Any], T],
    oldest_first: bool = False,
) -> Page[T]:
    """One page of `query`, whose rows `read` turns into records.

    Raises InvalidInput for an `after` that names no record the query would list.
    """
    if after is not None:
        anchor = connection.execute(query.where(table.c.id == after)).one_or_none()
        if anchor is None:
            raise InvalidInput(
                "`after` is not a cursor of this list",
                [{"loc": ["after"], "msg": "give the `next` of the page before"}],
            )
        last = sa.tuple_(sa.literal(anchor.created_at), sa.literal(anchor.id))
        place = sa.tuple_(table.c.created_at, table.c.id)
        query = query.where(place > last if oldest_first else place < last)
    order = (table.c.created_at, table.c.id)
    query = query.order_by(*(order if oldest_first else (column.desc() for column in order)))
    query = query.limit(limit + 1)
    rows = connection.execute(query).all()
    records: list[T] = [read(row) for row in rows[:limit]]
    has_more = len(rows) > limit
    return Page(data=records, has_more=has_more, next=rows[limit - 1].id if has_more else None)
