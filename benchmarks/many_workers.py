"""Two hundred workers on a hundred thousand records, with a trainer that only waits. No torch.

    python -m benchmarks.many_workers --redis redis://127.0.0.1:6379/0
    python -m benchmarks.many_workers --database postgresql://postgres@127.0.0.1/scratch --redis …

Eight processes hold the workers as threads: each claims, keeps its lease with the real keeper
(which asks for wishes and reports twice a second and renews every fourth part of a lease), waits
as long as a slice takes, publishes, rings, and claims again. All claim at once in the beginning.
Meanwhile this process does what web server and sweeper do, and times it, as it did before on
1,000 records and no worker. A database that is named is emptied first.
"""

import argparse
import multiprocessing
import statistics
import sys
import tempfile
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import Any

from benchmarks.claims import busy_seconds
from benchmarks.queue_scale import (
    Operation,
    empty,
    fill,
    median_milliseconds,
    operations,
    print_line,
)
from worker import leases, recovery
from worker.backend import Backend, open_backend
from worker.errors import LeaseLost
from worker.keeping import LeaseKeeper
from worker.leases import Claim, Publication
from worker.records import JobState, Progress, StoredFile
from worker.settings import Settings

PROCESSES, FEW = 8, 1_000
SKIPPED = "claim + publish a slice"  # the workers do that


def main() -> None:
    """Print what the clients see, then what the workers did."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--database", default="", help="SQLAlchemy URL; empty: SQLite")
    parser.add_argument("--redis", required=True, help="URL of a Redis that may be emptied")
    parser.add_argument("--workers", type=int, default=200)
    parser.add_argument("--records", type=int, default=100_000)
    parser.add_argument("--waiting", type=int, default=20_000, help="of the records")
    parser.add_argument("--slice", type=float, default=20.0, help="seconds of a slice")
    parser.add_argument("--seconds", type=float, default=60.0, help="how long they work")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="lstmq-bench-") as folder:
        settings: dict[str, Any] = {
            "data_dir": Path(folder),
            "database_url": given.database,
            "redis_url": given.redis,
        }
        with closing(open_backend(Settings(**settings))) as backend:
            empty(backend)
            fill(backend, FEW, FEW // 5)
            before = {name: median_milliseconds(run) for name, run in watched(backend).items()}
            empty(backend)
            fill(backend, given.records, given.waiting)
            measure(backend, settings, given, before)


def watched(backend: Backend) -> dict[str, Operation]:
    """What others than workers do."""
    return {name: run for name, run in operations(backend).items() if name != SKIPPED}


def measure(
    backend: Backend, settings: dict[str, Any], given: argparse.Namespace, before: dict[str, float]
) -> None:
    """Let the workers work, and look on."""
    context = multiprocessing.get_context("spawn")
    start, results = context.Barrier(PROCESSES + 1), context.Queue()
    shares = [
        given.workers // PROCESSES + (i < given.workers % PROCESSES) for i in range(PROCESSES)
    ]
    crowd = [
        context.Process(
            target=work, args=(settings, f"p{i}", share, given.slice, given.seconds, start, results)
        )
        for i, share in enumerate(shares)
    ]
    for process in crowd:
        process.start()
    looked = watched(backend)
    start.wait()
    began, busy = time.monotonic(), busy_seconds()
    times: dict[str, list[float]] = {name: [] for name in looked}
    while time.monotonic() - began < given.seconds:
        for name, run in looked.items():
            asked = time.perf_counter()
            run()
            times[name].append((time.perf_counter() - asked) * 1000)
        time.sleep(0.2)
    busy = (busy_seconds() - busy) / (time.monotonic() - began) / multiprocessing.cpu_count()
    told = [results.get() for _ in crowd]
    for process in crowd:
        process.join()
    big = f"{given.records:,}, {given.workers} workers"
    print_line("milliseconds", f"{FEW:,}, median", big, "95 %")
    for name, took in times.items():
        print_line(name, f"{before[name]:.2f}", *both(took))
    print_line("worker's milliseconds", "median", "95 %", "most")
    for place, name in enumerate(("first claim, all at once", "claim", "publish")):
        took = [each for one in told for each in one[place]]
        print_line(name, *both(took), f"{max(took):.1f}")
    slices = sum(len(one[2]) for one in told)
    lost = sum(one[3] for one in told)
    sys.stdout.write(
        f"{slices} slices published ({slices / given.seconds:.1f} a second), {lost} leases lost, "
        f"machine {busy:.0%} busy, {recovery.sweep(backend).recovered} leases had run out\n"
    )


def both(milliseconds: list[float]) -> tuple[str, str]:
    """Median and 95 per cent."""
    return (
        f"{statistics.median(milliseconds):.2f}",
        f"{statistics.quantiles(milliseconds, n=20)[-1]:.2f}" if len(milliseconds) > 1 else "-",
    )


def work(
    settings: dict[str, Any],
    name: str,
    workers: int,
    slice_seconds: float,
    seconds: float,
    start: Any,
    results: Any,
) -> None:
    """Some of the workers, until time is up."""
    with closing(open_backend(Settings(**settings))) as backend:
        taken = (list[float](), list[float](), list[float](), list[int]())
        gate = threading.Barrier(workers + 1)
        threads = [
            threading.Thread(
                target=one_worker,
                args=(backend, f"{name}-{i}", slice_seconds, seconds, gate, taken),
            )
            for i in range(workers)
        ]
        for thread in threads:
            thread.start()
        start.wait()
        gate.wait()
        for thread in threads:
            thread.join()
        first, later, published, lost = taken
        results.put((first, later, published, len(lost)))


def one_worker(
    backend: Backend,
    name: str,
    slice_seconds: float,
    seconds: float,
    gate: threading.Barrier,
    taken: tuple[list[float], list[float], list[float], list[int]],
) -> None:
    """Slices one after the other; the last ones end with the time."""
    first, later, published, lost = taken
    gate.wait()
    began = time.monotonic()
    claims = first
    while (left := seconds - (time.monotonic() - began)) > 0:
        asked = time.perf_counter()
        claim = leases.claim(backend, "train", name)
        claims.append((time.perf_counter() - asked) * 1000)
        claims = later
        if claim is None:
            time.sleep(0.5)
            continue
        try:
            with LeaseKeeper(backend, claim, name) as keeper:
                until = time.monotonic() + min(left, slice_seconds)
                while time.monotonic() < until and not keeper.should_stop:
                    time.sleep(0.1)
                keeper.settle()
                asked = time.perf_counter()
                leases.publish(backend, claim, result_of(claim))
                published.append((time.perf_counter() - asked) * 1000)
        except LeaseLost:
            lost.append(1)


def result_of(claim: Claim) -> Publication:
    """What a slice without a training has to say."""
    number = claim.job.slices + 1
    return Publication(
        state=JobState.RUNNING,
        progress=Progress(step=number),
        checkpoint=StoredFile(f"checkpoints/{claim.job.id}/{number}", "0" * 64, 1),
        slice={"from_step": 0, "to_step": number, "seconds": 1.0},
    )


if __name__ == "__main__":
    main()
