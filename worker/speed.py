"""How fast this installation trains, learned from the slices it has published.

The estimate of `lstmcore.estimate` is right about steps, parameters and memory, but it cannot know
this machine. Every training keeps what was estimated for it when it was accepted, as an event of
its story; every published slice tells what its steps really took. The ratio of the two, of the
trainings most like a new one, corrects the new one's estimate.
"""

import math
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

import sqlalchemy as sa

from lstmcore.estimate import Estimate
from worker import events
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
    learned_from: int  # trainings the speed was learned from; 0: nothing is known yet


@dataclass(frozen=True)
class Measured:
    """What one training's steps were estimated to take, and what they took."""

    estimated_step_seconds: float
    step_seconds: float


def expect(backend: Backend, estimate: Estimate) -> Expectation:
    """An estimate corrected by what trainings like it have taken here."""
    ratio, count = _ratio(measured(backend), estimate.seconds / max(1, estimate.steps))
    return Expectation(
        parameters=estimate.parameters,
        memory_bytes=estimate.memory_bytes,
        steps=estimate.steps,
        seconds=round(estimate.seconds * ratio, 1),
        raw_seconds=estimate.seconds,
        learned_from=count,
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


def measured(backend: Backend) -> list[Measured]:
    """The trainings whose slices are among the newest events, whoever owns them."""
    newest = sa.select(sa.func.max(TABLE.c.id)).scalar_subquery()
    slices = sa.select(TABLE.c.job, TABLE.c.data).where(
        TABLE.c.id > newest - NEWEST_EVENTS, TABLE.c.type == "slice"
    )
    with backend.database.reading() as connection:
        steps, seconds = _sums(connection.execute(slices).all())
        kept = sa.select(TABLE.c.job, TABLE.c.data).where(
            TABLE.c.job.in_(steps), TABLE.c.key == KEY
        )
        rows = connection.execute(kept).all() if steps else []
    return [
        Measured(estimate["raw_seconds"] / max(1, estimate["steps"]), seconds[row.job] / count)
        for row in rows
        if (count := steps[row.job]) > 0 and (estimate := row.data["estimate"])["raw_seconds"] > 0
    ]


def _sums(slices: "list[sa.Row[Any]] | Any") -> tuple[dict[str, int], dict[str, float]]:
    steps: dict[str, int] = {}
    seconds: dict[str, float] = {}
    for row in slices:
        data: Json = row.data
        steps[row.job] = steps.get(row.job, 0) + data["to_step"] - data["from_step"]
        seconds[row.job] = seconds.get(row.job, 0.0) + data["seconds"]
    return steps, seconds


def _ratio(known: list[Measured], estimated_step_seconds: float) -> tuple[float, int]:
    """Actual over estimated, of the trainings whose steps were estimated most alike."""
    if not known or estimated_step_seconds <= 0:
        return 1.0, 0
    aim = math.log(estimated_step_seconds)
    known = sorted(known, key=lambda one: abs(math.log(one.estimated_step_seconds) - aim))
    alike = known[:MOST_ALIKE]
    ratios = [max(one.step_seconds, 1e-9) / one.estimated_step_seconds for one in alike]
    return median(ratios), len(known)
