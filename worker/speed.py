"""How fast this installation trains, learned from the slices it has published.

The estimate of `lstmcore.estimate` is right about steps and parameters, but it cannot know this
machine. Every training keeps what was estimated for it when it was accepted, as an event of its
story; every published slice tells what its steps really took, in time and in memory. What came of
the trainings most like a new one corrects the new one's estimate.
"""

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

import sqlalchemy as sa

from lstmcore.estimate import Estimate
from worker import database, events
from worker.backend import Backend
from worker.records import Json

TABLE = events.TABLE
KEY = "estimate"  # of the event that keeps it
NEWEST_EVENTS = 4000  # that are looked through for slices
MOST_ALIKE = 5


@dataclass(frozen=True)
class Expectation:
    """What a training will take here."""

    parameters: int
    memory_bytes: int
    steps: int
    seconds: float  # of training, at this installation's speed; waiting for a worker not counted
    raw_seconds: float  # as estimated without knowing the machine
    raw_memory_bytes: int
    learned_from: int  # trainings the speed was learned from; 0: nothing is known yet


@dataclass(frozen=True)
class Measured:
    """What one training's steps were estimated to take, and what they took."""

    estimated_step_seconds: float
    step_seconds: float
    more_bytes: int  # of memory than was estimated


def expect(backend: Backend, estimate: Estimate) -> Expectation:
    """An estimate corrected by what trainings like it have taken here."""
    known = measured(backend)
    alike = _alike(known, estimate.seconds / max(1, estimate.steps))
    ratio, more = 1.0, 0
    if alike:
        ratio = median(one.step_seconds / one.estimated_step_seconds for one in alike)
        more = round(median(one.more_bytes for one in alike))
    return Expectation(
        parameters=estimate.parameters,
        memory_bytes=max(0, estimate.memory_bytes + more),
        steps=estimate.steps,
        seconds=round(estimate.seconds * ratio, 1),
        raw_seconds=estimate.seconds,
        raw_memory_bytes=estimate.memory_bytes,
        learned_from=len(known),
    )


def keep(connection: sa.Connection, job: str, expectation: Expectation) -> None:
    """Write an expectation into the story of its job, within the caller's transaction."""
    mebibytes = expectation.memory_bytes / 2**20
    message = (
        f"expected: {expectation.steps:,} steps, about {expectation.seconds:,.0f} s of training "
        f"and {mebibytes:,.0f} MiB"
    )
    data = {"level": "info", "message": message, "estimate": asdict(expectation)}
    events.append(connection, job, "log", data, KEY)


@dataclass(frozen=True)
class Recent:
    """What one worker has published lately."""

    slices: int = 0
    tokens: int = 0
    seconds: float = 0.0  # of training

    @property
    def tokens_per_second(self) -> float | None:
        """While it trained; None when it did not."""
        return self.tokens / self.seconds if self.tokens and self.seconds else None


def recent(backend: Backend, seconds: float) -> dict[str, Recent]:
    """What each worker has published in the last so many seconds, by the workers' names."""
    query = sa.select(TABLE.c.data).where(
        TABLE.c.id > _newest() - NEWEST_EVENTS,
        TABLE.c.type == "slice",
        TABLE.c.at > database.now() - seconds,
    )
    found: dict[str, Recent] = {}
    with backend.database.reading() as connection:
        for row in connection.execute(query):
            data, name = row.data, str(row.data.get("worker"))
            before = found.get(name, Recent())
            found[name] = Recent(
                slices=before.slices + 1,
                tokens=before.tokens + data.get("tokens", 0),
                seconds=before.seconds + data.get("seconds", 0.0),
            )
    return found


def _newest() -> "sa.ScalarSelect[int]":
    return sa.select(sa.func.max(TABLE.c.id)).scalar_subquery()


_SLICES = sa.select(TABLE.c.job, TABLE.c.data).where(
    TABLE.c.id > _newest() - NEWEST_EVENTS, TABLE.c.type == "slice"
)

_KEPT = sa.select(TABLE.c.job, TABLE.c.data).where(
    TABLE.c.job.in_(sa.bindparam("jobs", expanding=True, type_=sa.String)), TABLE.c.key == KEY
)


def measured(backend: Backend) -> list[Measured]:
    """The trainings whose slices are among the newest events, whoever owns them."""
    with backend.database.reading() as connection:
        sums = _sums(connection.execute(_SLICES).all())
        rows = connection.execute(_KEPT, {"jobs": list(sums)}).all() if sums else []
    found = (_measured(row.data["estimate"], sums[row.job]) for row in rows)
    return [one for one in found if one is not None]


@dataclass
class _Sum:
    """What the slices of one job took together."""

    steps: int = 0
    seconds: float = 0.0
    most_bytes: int = 0


def _sums(slices: Iterable[Any]) -> dict[str, _Sum]:
    sums: dict[str, _Sum] = {}
    for row in slices:
        data, one = row.data, sums.setdefault(row.job, _Sum())
        one.steps += data["to_step"] - data["from_step"]
        one.seconds += data["seconds"]
        one.most_bytes = max(one.most_bytes, data.get("memory_bytes", 0))
    return sums


def _measured(estimate: Json, taken: _Sum) -> Measured | None:
    if taken.steps <= 0 or taken.seconds <= 0 or estimate["raw_seconds"] <= 0:
        return None
    return Measured(
        estimated_step_seconds=estimate["raw_seconds"] / max(1, estimate["steps"]),
        step_seconds=taken.seconds / taken.steps,
        more_bytes=taken.most_bytes - estimate.get("raw_memory_bytes", taken.most_bytes)
        if taken.most_bytes
        else 0,
    )


def _alike(known: list[Measured], estimated_step_seconds: float) -> list[Measured]:
    """The trainings whose steps were estimated most like these."""
    if estimated_step_seconds <= 0:
        return []
    aim = math.log(estimated_step_seconds)
    known = sorted(known, key=lambda one: abs(math.log(one.estimated_step_seconds) - aim))
    return known[:MOST_ALIKE]
