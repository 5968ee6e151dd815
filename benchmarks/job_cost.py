"""What a job costs beside its training: in the records, in the store, in the queue.

    python -m benchmarks.job_cost

One worker in this process trains many small jobs of one slice each, from the text that is stored to
the model that is published, while every call into the three kinds of state is timed. Redis keeps
an append-only file, Postgres syncs its log before it answers, SQLite and the folder sync files.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.real_servers import postgres_server, redis_server
from worker import datasets, leases, submissions
from worker.backend import Backend, open_backend
from worker.settings import Settings
from worker.slices import SliceRunner

OWNER = "bench"
TEXT = b"the cat sat on the mat, and the dog lay by the door of the house.\n" * 60
CONFIG: dict[str, Any] = {
    "preset": "char",
    "model": {"embed_dim": 32, "hidden_dim": 64, "layers": 1},
    "training": {"batch_size": 8, "bptt": 32, "epochs": 1, "patience": None},
}
WARM_UP = 3
PARTS = ("database", "store", "live", "doorbell")
COLUMNS = ("records and artifacts", "records", "store", "queue", "together", "whole job")


class Timed:
    """Stands before a part and notes how long each call into it took."""

    def __init__(self, part: Any, seconds: list[float]) -> None:
        self._part, self._seconds = part, seconds

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._part, name)
        if not callable(found):
            return found

        def call(*arguments: Any, **options: Any) -> Any:
            began = time.perf_counter()
            answer = found(*arguments, **options)
            if isinstance(answer, AbstractContextManager):
                return self._block(answer)
            self._seconds.append(time.perf_counter() - began)
            return answer

        return call

    @contextmanager
    def _block(self, block: AbstractContextManager[Any]) -> Iterator[Any]:
        """A transaction, its commit included."""
        began = time.perf_counter()
        try:
            with block as inner:
                yield inner
        finally:
            self._seconds.append(time.perf_counter() - began)


def main() -> None:
    """Print a line for each database."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--jobs", type=int, default=60, help="jobs of each line")
    given = parser.parse_args()
    with ExitStack() as stack:
        queue = stack.enter_context(redis_server())
        databases = {"SQLite, a folder": ""}
        databases["Postgres, a folder"] = stack.enter_context(postgres_server())
        sys.stdout.write("milliseconds a job (median), and calls\n")
        print_line(COLUMNS)
        for name, database in databases.items():
            print_line([name, *measure(database, queue, given.jobs)])


def measure(database: str, queue: str, count: int) -> list[str]:
    """The cells of one line."""
    rows = []
    with tempfile.TemporaryDirectory(prefix="lstmq-bench-") as folder:
        settings: dict[str, Any] = {
            "data_dir": Path(folder),
            "database_url": database,
            "redis_url": queue,
            "max_active_jobs": 0,
        }
        with closing(open_backend(Settings(**settings))) as plain:
            seconds: dict[str, list[float]] = {name: [] for name in PARTS}
            parts: dict[str, Any] = {n: Timed(getattr(plain, n), seconds[n]) for n in PARTS}
            backend = replace(plain, **parts)
            runner = SliceRunner(backend, "bench")
            for number in range(count + WARM_UP):
                for noted in seconds.values():
                    noted.clear()
                began = time.perf_counter()
                one_job(backend, runner)
                whole = time.perf_counter() - began
                if number >= WARM_UP:
                    rows.append((whole, {name: list(noted) for name, noted in seconds.items()}))
    return cells(rows)


def one_job(backend: Backend, runner: SliceRunner) -> None:
    """A text is stored and submitted, claimed, trained and published."""
    text = datasets.create(backend, OWNER, name="text", data=TEXT)
    submissions.submit_train(backend, OWNER, name="job", dataset=text.id, config=CONFIG)
    claim = leases.claim(backend, "train", "bench")
    if claim is None:
        raise SystemExit("nothing to claim")
    job = runner.run(claim)
    if not job.state.final:
        raise SystemExit(f"the job is {job.state}: it should take one slice")


def cells(rows: list[tuple[float, dict[str, list[float]]]]) -> list[str]:
    """Medians over the jobs."""
    groups = {"records": ("database",), "store": ("store",), "queue": ("live", "doorbell")}
    found, together = [], [0.0] * len(rows)
    for names in groups.values():
        sums = [sum(sum(noted[name]) for name in names) for _, noted in rows]
        calls = statistics.median(sum(len(noted[name]) for name in names) for _, noted in rows)
        found.append(f"{1000 * statistics.median(sums):.1f} in {calls:.0f}")
        together = [a + b for a, b in zip(together, sums, strict=True)]
    whole = statistics.median(row[0] for row in rows)
    return [*found, f"{1000 * statistics.median(together):.1f}", f"{1000 * whole:.0f}"]


def print_line(found: "list[str] | tuple[str, ...]") -> None:
    """One line of a table."""
    first, *rest = found
    sys.stdout.write(f"{first:<24}" + "".join(f"{cell:>14}" for cell in rest) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
