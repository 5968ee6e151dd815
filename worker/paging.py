"""Lists by cursor: newest first or in another order, `after` is the id of the last record seen.

Keyset paging: a page costs the same however many records there are, and records that arrive in
between shift nothing.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from worker.errors import InvalidInput
from worker.records import Page, T


@dataclass(frozen=True)
class Order:
    """What a list is sorted by; records that are alike in it stand in the order of their ids."""

    key: "sa.ColumnElement[Any]"
    descending: bool = True


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
    order: Order | None = None,
) -> Page[T]:
    """One page of `query`, whose rows `read` turns into records; the newest first without `order`.

    Raises InvalidInput for an `after` that names no record the query would list.
    """
    order = order or Order(table.c.created_at)
    place = sa.tuple_(order.key, table.c.id)
    if after is not None:
        anchor = connection.execute(
            query.add_columns(order.key.label("sorted_by")).where(table.c.id == after)
        ).one_or_none()
        if anchor is None:
            raise InvalidInput(
                "`after` is not a cursor of this list",
                [{"loc": ["after"], "msg": "give the `next` of the page before"}],
            )
        seen = sa.tuple_(sa.literal(anchor.sorted_by), sa.literal(anchor.id))
        query = query.where(place < seen if order.descending else place > seen)
    direction = sa.desc if order.descending else sa.asc
    query = query.order_by(direction(order.key), direction(table.c.id)).limit(limit + 1)
    rows = connection.execute(query).all()
    records: list[T] = [read(row) for row in rows[:limit]]
    has_more = len(rows) > limit
    return Page(data=records, has_more=has_more, next=rows[limit - 1].id if has_more else None)
