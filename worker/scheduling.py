"""Whose turn it is: the one ordering behind claims, queue positions and the sweep.

The highest level first: a job's priority, raised by waiting until it stands beside the highest, so
that nobody starves. Within a level the owner served least recently, so that owners share equally
however many jobs each has; then the owner's job served least recently, so that jobs share the
workers slice by slice.

Every part of the order is stored (`level` and `ages_at` in the job, `served_at` in job and owner)
and indexed: a claim costs the same however many jobs wait.
"""

import time
from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate, groupby
from operator import attrgetter, itemgetter
from typing import Any

import sqlalchemy as sa

from worker.database import insert, jobs, made_once, now, owners
from worker.records import JobState, Json, Priority

PRIORITIES = {priority: rank for rank, priority in enumerate(Priority)}
TOP_LEVEL = len(PRIORITIES) - 1
# A job that has waited so long rises by one level.
AGEING_SECONDS = 600
# An owner nobody has served yet comes before those who were, the longest known first.
NEVER_SERVED = -1e10
MOST_RAISED = 1000  # in one go: a sweep is short
# Counting a long queue takes a while, and a place in it is no less true a moment later.
LONG_QUEUE, KEPT_SECONDS = 1000, 1.0
_MAKE_KNOWN = made_once(
    lambda insert: insert(owners).values(served_at=now() + NEVER_SERVED).on_conflict_do_nothing()
)


def runnable(table: "sa.FromClause" = jobs) -> "sa.ColumnElement[bool]":
    """Rows that a worker may claim now.

    Literal states, as in the indexes' own conditions: with parameters SQLite would not use them.
    """
    literals: list[Any] = [
        sa.literal_column(f"'{state}'") for state in (JobState.QUEUED, JobState.RUNNING)
    ]
    return sa.and_(
        table.c.state.in_(literals), table.c.lease_until.is_(None), table.c.not_before <= now()
    )


def line_up(priority: "int | sa.ColumnElement[int]" = jobs.c.priority) -> Json:
    """The columns of a job that begins to wait, at its own priority."""
    ages_at: Any = now() + AGEING_SECONDS
    if isinstance(priority, int):
        ages_at = ages_at if priority < TOP_LEVEL else None
    else:
        ages_at = sa.case((priority < TOP_LEVEL, ages_at))
    return {
        "waiting_since": now(),
        "level": priority,
        "ages_at": ages_at,
        "notified_at": now(),
        "notifications": 0,
    }


def next_one(connection: sa.Connection, kind: str) -> Any:
    """(id, state) of the job whose turn it is, locked; None when there is none to be had."""
    this_kind = (jobs.c.kind == kind, runnable())
    columns = sa.select(jobs.c.id, jobs.c.state).with_for_update(skip_locked=True).limit(1)
    top, other = jobs.alias("top"), jobs.alias("other")
    level = (
        sa.select(top.c.level)
        .where(top.c.kind == kind, runnable(top))
        .order_by(top.c.level.desc())
        .limit(1)
        .scalar_subquery()
    )
    waits = sa.select(other.c.id).where(
        other.c.kind == kind,
        runnable(other),
        other.c.owner == owners.c.owner,
        other.c.level == level,
    )
    owner = (
        sa.select(owners.c.owner)
        .where(waits.exists())
        .order_by(owners.c.served_at, owners.c.owner)
        .limit(1)
    )
    fairest = columns.where(
        *this_kind,
        jobs.c.level == level,
        jobs.c.owner == owner.scalar_subquery(),
    ).order_by(*_turn())
    # Should others be claiming all of this owner's jobs at this moment: any one, rather than none.
    any_one = columns.where(*this_kind).order_by(jobs.c.level.desc())
    return connection.execute(fairest).one_or_none() or connection.execute(any_one).one_or_none()


def slices_a_turn(connection: sa.Connection, kind: str, owner: str) -> int:
    """How many slices all workers do until a job of this owner, which has one now, has the next.

    Owners take turns, and so do the jobs of each. Of a long queue only its beginning is looked at.
    """
    unfinished = jobs.c.state.in_([JobState.QUEUED, JobState.RUNNING])
    query = sa.select(jobs.c.owner).where(unfinished, jobs.c.kind == kind).limit(LONG_QUEUE)
    found = connection.scalars(query).all()
    return len({owner, *found}) * max(1, found.count(owner))


def served_now(connection: sa.Connection, owner: str) -> None:
    """Put an owner behind the others."""
    statement = insert(connection, owners).values(owner=owner, served_at=now())
    connection.execute(
        statement.on_conflict_do_update(index_elements=["owner"], set_={"served_at": now()})
    )


def make_known(connection: sa.Connection, owner: str) -> None:
    """Let the turns know an owner; nothing changes for one they know."""
    connection.execute(_MAKE_KNOWN[connection.dialect.name], {"owner": owner})


def raise_the_waiting(connection: sa.Connection) -> int:
    """Lift the jobs that have waited long enough by a level; how many."""
    due = sa.select(jobs.c.id).where(jobs.c.ages_at <= now()).limit(MOST_RAISED)
    later = sa.case((jobs.c.level + 1 < TOP_LEVEL, now() + AGEING_SECONDS))
    statement = (
        sa.update(jobs)
        .where(jobs.c.id.in_(due), jobs.c.ages_at <= now())
        .values(level=jobs.c.level + 1, ages_at=later)
    )
    return connection.execute(statement).rowcount


class Level:
    """The jobs of one kind at one level, as counts."""

    def __init__(self, ahead: int, turns: Sequence[tuple[str, int]]) -> None:
        """`ahead` jobs are at higher levels; `turns` are (owner, jobs), the next owner first."""
        self.ahead = ahead
        self._counts = [count for _, count in turns]
        self._turn = {owner: turn for turn, (owner, _) in enumerate(turns)}
        self._ordered = sorted(self._counts)
        self._sums = [0, *accumulate(self._ordered)]
        self._once_more: dict[int, list[int]] = {}
        self.jobs = self._sums[-1]

    def knows(self, owner: str) -> bool:
        """Whether the owner had jobs at this level when they were counted."""
        return owner in self._turn

    def place(self, owner: str, rank: int) -> int:
        """The place, 1 = next, of an owner's job with `rank` of his own before it.

        Owners take turns: until this job is served everybody has had `rank` turns, and those whose
        turn comes before the owner's one more; or as many as he has jobs.
        """
        few = bisect_left(self._ordered, rank)  # owners who run out of jobs before
        turns_had = self._sums[few] + rank * (len(self._ordered) - few)
        if rank not in self._once_more:
            have_more = map(rank.__lt__, self._counts)
            self._once_more[rank] = list(accumulate(have_more, initial=0))
        return self.ahead + turns_had + self._once_more[rank][self._turn[owner]] + 1


class Places:
    """Tells places in the queue, from counts: nobody reads a long line for one place."""

    def __init__(self) -> None:
        self._levels: dict[str, dict[int, Level]] = {}  # kind → level →
        self._fresh_until: dict[str, float] = {}

    def of(self, connection: sa.Connection, identifiers: Sequence[str]) -> dict[str, int]:
        """Places, 1 = next, of those of these jobs that wait for a worker.

        A job is behind others of its kind only: trainings and predictions have workers of their
        own. Jobs between two of their slices have places as well, which nobody asks for.
        """
        if not identifiers:
            return {}
        found = connection.execute(_ASKED, {"identifiers": list(identifiers)})
        rows = [row for row in found if row.waits]
        places: dict[str, int] = {}
        line = attrgetter("kind", "level", "owner")
        for (kind, level, owner), mine in groupby(sorted(rows, key=line), key=line):
            found_level = self._levels_of(connection, kind).get(level)
            if found_level is not None and found_level.knows(owner):
                ranks = _ranks(connection, list(mine))
                places |= {job: found_level.place(owner, rank) for job, rank in ranks.items()}
        return places

    def _levels_of(self, connection: sa.Connection, kind: str) -> dict[int, Level]:
        if time.monotonic() > self._fresh_until.get(kind, 0.0):
            self._levels[kind] = levels = _levels(connection, kind)
            waiting = sum(level.jobs for level in levels.values())
            kept = KEPT_SECONDS if waiting > LONG_QUEUE else 0.0
            self._fresh_until[kind] = time.monotonic() + kept
        return self._levels[kind]


def _levels(connection: sa.Connection, kind: str) -> dict[int, Level]:
    """Every level of a kind, the turns as they will be when it is reached."""
    rows = connection.execute(_COUNTS, {"kind": kind}).all()
    found: dict[int, Level] = {}
    line, ahead = list(dict.fromkeys(row.owner for row in rows)), 0
    for level in sorted({row.level for row in rows}, reverse=True):
        counts = {row.owner: int(row.jobs) for row in rows if row.level == level}
        turns = [(owner, counts[owner]) for owner in line if owner in counts]
        found[level] = Level(ahead, turns)
        ahead += found[level].jobs
        # Whoever was served goes behind the others: later, the more jobs he had.
        line = [owner for owner in line if owner not in counts]
        line += [owner for owner, _ in sorted(turns, key=itemgetter(1))]
    return found


def _ranks(connection: sa.Connection, rows: "Sequence[sa.Row[Any]]") -> dict[str, int]:
    """How many of its owner's own jobs at its level are served before each of one owner's jobs."""
    last = max(rows, key=lambda row: row[-3:])
    here = {f"here{at}": value for at, value in enumerate(last[-3:])}
    these = {"kind": last.kind, "level": last.level, "owner": last.owner}
    values = {"identifiers": [row.id for row in rows], **these, **here}
    return {row.id: row.rank for row in connection.execute(_RANKS, values)}


def _turn() -> tuple["sa.ColumnElement[Any]", ...]:
    """The order of one owner's jobs within a level."""
    return (jobs.c.served_at, jobs.c.created_at, jobs.c.id)


# What every look at a waiting job asks, made once.
_THESE = sa.bindparam("identifiers", expanding=True, type_=sa.String)
# Asked for, not searched by: SQLite would read the index of the whole line for a few ids.
_WAITS = sa.and_(runnable(), jobs.c.state == JobState.QUEUED).label("waits")
_ASKED = sa.select(_WAITS, jobs.c.id, jobs.c.kind, jobs.c.level, jobs.c.owner, *_turn()).where(
    jobs.c.id.in_(_THESE)
)
_OF_KIND = jobs.c.kind == sa.bindparam("kind", type_=sa.String)
_BY_OWNER = (
    sa.select(jobs.c.level, jobs.c.owner, sa.func.count().label("jobs"))
    .where(_OF_KIND, runnable())
    .group_by(jobs.c.level, jobs.c.owner)
    .subquery()
)
_COUNTS = (
    sa.select(_BY_OWNER)
    .join(owners, owners.c.owner == _BY_OWNER.c.owner)
    .order_by(owners.c.served_at, owners.c.owner)
)
_HERE = sa.tuple_(
    *(sa.bindparam(f"here{at}", type_=column.type) for at, column in enumerate(_turn()))
)
_NUMBERED = (
    sa.select(jobs.c.id, (sa.func.row_number().over(order_by=_turn()) - 1).label("rank"))
    .where(
        runnable(),
        _OF_KIND,
        jobs.c.level == sa.bindparam("level", type_=sa.Integer),
        jobs.c.owner == sa.bindparam("owner", type_=sa.String),
        sa.tuple_(*_turn()) <= _HERE,
    )
    .subquery()
)
_RANKS = sa.select(_NUMBERED).where(_NUMBERED.c.id.in_(_THESE))
