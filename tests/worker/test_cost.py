"""What a slice costs records and queue: the same for each, and however many jobs there are.

Counted where it arrives: statements at the driver, commands by Redis itself.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
import redis
import sqlalchemy as sa

from tests.processes import eventually
from tests.worker.conftest import LINES, Submit
from tests.worker.test_leases import claimed
from worker import database, datasets, leases, submissions
from worker.backend import Backend
from worker.records import Job, JobState, Progress, StoredFile
from worker.slices import SliceRunner

# docs/durability.md gives these numbers.
MOST_STATEMENTS, MOST_COMMANDS = 13, 6
FEW, MANY = 10, 10_000
# Of the client itself, and what the counting does.
NOT_ASKED = {"begin", "commit", "rollback", "pragma", ";"}
NO_WORK = {"info", "config|resetstat", "client|setinfo", "hello", "ping", "select"}
TRAINING = {
    "preset": "word",
    "model": {"embed_dim": 8, "hidden_dim": 8},
    "training": {"epochs": 100_000, "batch_size": 2, "bptt": 4, "patience": None},
}


@contextmanager
def counted(backend: Backend) -> Iterator[Counter[str]]:
    """The statements and commands sent meanwhile, by their first words."""
    seen: Counter[str] = Counter()

    def note(statement: str) -> None:
        word = statement.split(maxsplit=1)[0].lower()
        if word not in NOT_ASKED:
            seen[f"sql {word}"] += 1

    class Noted(psycopg.Cursor[Any]):
        def execute(self, query: Any, *arguments: Any, **options: Any) -> Any:
            note(str(query))
            return super().execute(query, *arguments, **options)

    def prepare(connection: Any, _record: object) -> None:
        if backend.database.engine.dialect.name == "sqlite":
            connection.set_trace_callback(note)
        else:
            connection.cursor_factory = Noted

    backend.database.close()  # connections opened from now on are counted
    sa.event.listen(backend.database.engine, "connect", prepare)
    with backend.database.reading():
        pass  # what a new connection asks for itself
    with redis.Redis.from_url(backend.settings.effective_redis_url) as server:
        seen.clear()
        server.config_resetstat()
        yield seen
        told: Any = server.info("commandstats")
    sa.event.remove(backend.database.engine, "connect", prepare)
    backend.database.close()
    for name, stats in told.items():
        command = name.removeprefix("cmdstat_")
        if command not in NO_WORK:
            seen[f"redis {command}"] += stats["calls"]


def one_slice(backend: Backend) -> None:
    """One that looks for wishes, renews its lease and tells one thing."""
    claim = claimed(backend)
    number = claim.job.slices + 1
    leases.wanted(backend, claim)
    leases.renew(backend, claim, Progress(step=number), {})
    leases.record(backend, claim, [("metrics", {"step": number}, f"metrics:{number}")])
    publication = leases.Publication(
        state=JobState.RUNNING,
        progress=Progress(step=number),
        checkpoint=StoredFile(f"checkpoints/{number}", "0" * 64, 1),
        slice={"from_step": 0, "to_step": number, "seconds": 1.0, "save_seconds": 0.1, "tokens": 9},
    )
    leases.publish(backend, claim, publication)


def cost_of(backend: Backend, slices: int) -> Counter[str]:
    with counted(backend) as seen:
        for _ in range(slices):
            one_slice(backend)
    return seen


def fill(backend: Backend, job: Job, size: int) -> None:
    """Copies of a job that waits, of a hundred owners."""
    with backend.database.writing() as connection:
        row = connection.execute(sa.select(database.jobs)).one()._asdict()
        rows = [
            row | {"id": f"{job.id}-{number}", "owner": f"owner {number % 100}"}
            for number in range(size - 1)
        ]
        connection.execute(sa.insert(database.jobs), rows)
        owners = [{"owner": f"owner {number}", "served_at": -1.0} for number in range(100)]
        connection.execute(sa.insert(database.owners), owners)


@pytest.mark.parametrize("redis_server", ["valkey", "redis"], indirect=True)
def test_a_slice_costs_the_same_however_many_jobs_there_are(
    backend: Backend, submit: Submit
) -> None:
    job = submit()
    eventually(lambda: backend.live.waiting_messages("train") == 1)  # it is sent from a thread
    first, second = cost_of(backend, 1), cost_of(backend, 1)

    for name, most in (("sql", MOST_STATEMENTS), ("redis", MOST_COMMANDS)):
        assert sum(count for what, count in first.items() if what.startswith(name)) <= most, first
    started = first - second  # what tells that a job runs now
    assert started.total() == 1
    few = cost_of(backend, FEW)
    assert few == Counter({what: count * FEW for what, count in second.items()})
    fill(backend, job, MANY)
    many = cost_of(backend, FEW)
    assert many - few <= Counter({what: count * FEW for what, count in started.items()})


def test_a_real_slice_sends_nothing_more(backend: Backend) -> None:
    """No step of a training sends anything: only the slice, what it tells, and each tick."""
    backend.settings.__dict__["slice_seconds"] = 0.01
    text = datasets.create(backend, "ann", name="text", data=LINES.encode() * 4, layout="text")
    submissions.submit_train(backend, "ann", name=None, dataset=text.id, config=TRAINING)
    costs = []
    for _ in range(4):
        # A new one each time: one that remembers what saving cost makes longer slices.
        with counted(backend) as seen:
            SliceRunner(backend, "worker").run(claimed(backend))
        ticks, odd = divmod(seen.pop("redis set", 0), 2)
        assert not odd
        seen["sql select"] -= ticks
        del seen["sql insert"]  # one for each thing that is told
        costs.append(seen)
    assert costs[2] == costs[3]
    assert sum(count for what, count in costs[3].items() if what.startswith("sql")) <= 9, costs[3]
