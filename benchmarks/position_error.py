"""How many turns others have before a job's first one, against the position it was shown. No torch.

    python -m benchmarks.position_error [--jobs 300] [--seed 1]

One worker and three owners. Jobs of about ten slices are submitted in bursts of a few at a time;
every place that is shown to a waiting job is remembered and held against the claims that came
before its own. Once nobody comes after the first burst, once others come all the time, once they
come with other priorities. A place says who is before a job now; whoever comes later and has a
right to an earlier turn makes it longer.
"""

import argparse
import random
import statistics
import time

import sqlalchemy as sa

from benchmarks.eta_error import line
from benchmarks.silence import silent_backend
from worker import database, datasets, jobs, leases, scheduling, submissions
from worker.backend import Backend
from worker.leases import Publication
from worker.records import JobState, Priority, Progress

OWNERS = ("ann", "bob", "cat")
FIRST_BURST, BURST, BURSTS_A_TURN = 30, 3, 0.03
SLICES, SLICE_SECONDS = 10, 20.0  # of a job, on average; of each, as it ages those who wait
TICK_SECONDS = 0.002  # SQLite's clock counts milliseconds


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--jobs", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    line("turns before its own", "shown", "exact", "median", "90 %", "median", "90 %")
    line("", "places", "", "turns", "turns", "of place", "of place")
    for name, later, priorities in (
        ("nobody comes later", 0, (Priority.NORMAL,)),
        ("others come", given.jobs, (Priority.NORMAL,)),
        ("with any priority", given.jobs, tuple(Priority)),
    ):
        report(name, errors(FIRST_BURST + later, priorities, random.Random(given.seed)))  # noqa: S311


def report(name: str, found: list[tuple[int, int]]) -> None:
    """One line: of (place, turns of others before it)."""
    off = [abs(turns - (place - 1)) for place, turns in found]
    share = [each / place for each, (place, _) in zip(off, found, strict=True)]
    line(
        name,
        str(len(found)),
        f"{off.count(0) / len(off):.0%}",
        *(f"{tenths(off, at):.0f}" for at in (5, 9)),
        *(f"{tenths(share, at):.0%}" for at in (5, 9)),
    )


def tenths(values: "list[int] | list[float]", at: int) -> float:
    """The value that so many tenths of all do not exceed."""
    return statistics.quantiles(values, n=10, method="inclusive")[at - 1]


def errors(
    count: int, priorities: tuple[Priority, ...], draw: random.Random
) -> list[tuple[int, int]]:
    """(place shown, turns that others had before this job's first) of every place shown."""
    with silent_backend(max_active_jobs=0) as (backend, _):
        texts = {
            owner: datasets.create(
                backend, owner, name="text", data=b"what is capital of India : Delhi\n"
            ).id
            for owner in OWNERS
        }
        shown: dict[str, list[tuple[int, int]]] = {}  # job → (place, turns so far)
        found, turns, submitted = [], 0, 0
        while True:
            burst = FIRST_BURST if not submitted else BURST * (draw.random() < BURSTS_A_TURN)
            for _ in range(min(burst, count - submitted)):
                submit(backend, texts, draw.choice(OWNERS), draw.choice(priorities))
                submitted += 1
            for owner in OWNERS:
                for job in jobs.list_page(backend, owner, state="queued").data:
                    if job.queue_position:
                        shown.setdefault(job.id, []).append((job.queue_position, turns))
            time.sleep(TICK_SECONDS)
            claim = leases.claim(backend, "train", "worker")
            if claim is None and submitted == count:
                return found
            if claim is None:
                continue
            found += [(place, turns - then) for place, then in shown.pop(claim.job.id, [])]
            turns += 1
            state = JobState.SUCCEEDED if draw.random() < 1 / SLICES else JobState.RUNNING
            leases.publish(backend, claim, Publication(state, Progress(step=claim.job.slices + 1)))
            pass_time(backend)


def pass_time(backend: Backend) -> None:
    """As long as a slice takes: those who wait rise."""
    ages_at = database.jobs.c.ages_at
    with backend.database.writing() as connection:
        older = sa.update(database.jobs).where(ages_at.is_not(None))
        connection.execute(older.values(ages_at=ages_at - SLICE_SECONDS))
        scheduling.raise_the_waiting(connection)


def submit(backend: Backend, texts: dict[str, str], owner: str, priority: Priority) -> None:
    """One more that waits."""
    time.sleep(TICK_SECONDS)
    submissions.submit_train(
        backend,
        owner,
        name=None,
        dataset=texts[owner],
        config={"preset": "tutorial"},
        priority=priority,
    )


if __name__ == "__main__":
    main()
