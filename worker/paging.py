"""Lists by cursor: newest first, `after` is the id of the last record seen.

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
        query = query.where(
            sa.tuple_(table.c.created_at, table.c.id)
            < sa.tuple_(sa.literal(anchor.created_at), sa.literal(anchor.id))
        )
    query = query.order_by(table.c.created_at.desc(), table.c.id.desc()).limit(limit + 1)
    rows = connection.execute(query).all()
    records: list[T] = [read(row) for row in rows[:limit]]
    has_more = len(rows) > limit
    return Page(data=records, has_more=has_more, next=rows[limit - 1].id if has_more else None)
