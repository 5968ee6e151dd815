"""How many slices a second the records and the queue can carry, and what gives out first. No torch.

    python -m benchmarks.claims --redis redis://127.0.0.1:6379/0
    python -m benchmarks.claims --database postgresql://postgres@127.0.0.1/scratch --redis …

Up to eight processes do what workers do around a slice (claim, look for wishes, renew once, tell
one event, publish, ring for the next) as fast as they can, on many waiting jobs of many owners. A
worker whose slices last 20 s needs a twentieth of a slice a second: the table says for how many
workers the rate would do. A database that is named is emptied first.
"""

import argparse
import multiprocessing
import resource
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import Any

from benchmarks.queue_scale import empty, fill, one_slice, print_line
from worker.backend import open_backend
from worker.settings import Settings

PROCESSES = (1, 2, 4, 8)
SLICE_SECONDS = 20


def main() -> None:
    """Print one line for each number of processes."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--database", default="", help="SQLAlchemy URL; empty: SQLite")
    parser.add_argument("--redis", required=True, help="URL of a Redis that may be emptied")
    parser.add_argument("--jobs", type=int, default=10_000, help="jobs that wait")
    parser.add_argument("--seconds", type=float, default=10.0, help="of each measurement")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="lstmq-bench-") as folder:
        settings: dict[str, Any] = {
            "data_dir": Path(folder),
            "database_url": given.database,
            "redis_url": given.redis,
        }
        with closing(open_backend(Settings(**settings))) as backend:
            empty(backend)
            fill(backend, given.jobs, given.jobs)
        head = ("slices/s", "ms a slice", "client CPU ms", "machine busy", "20 s workers")
        print_line("processes", *head)
        for count in PROCESSES:
            measure(settings, count, given.seconds)


def measure(settings: dict[str, Any], count: int, seconds: float) -> None:
    """One line: so many processes for so long."""
    context = multiprocessing.get_context("spawn")
    start, results = context.Barrier(count + 1), context.Queue()
    workers = [
        context.Process(target=work, args=(settings, seconds, start, results)) for _ in range(count)
    ]
    for worker in workers:
        worker.start()
    start.wait()
    before, began = busy_seconds(), time.monotonic()
    done = [results.get() for _ in workers]
    took = time.monotonic() - began
    busy = (busy_seconds() - before) / (took * multiprocessing.cpu_count())
    for worker in workers:
        worker.join()
    slices, cpu = sum(one[0] for one in done), sum(one[1] for one in done)
    rate = slices / seconds
    print_line(
        str(count),
        f"{rate:,.0f}",
        f"{1000 * seconds * count / slices:.1f}",
        f"{1000 * cpu / slices:.1f}",
        f"{busy:.0%}",
        f"{rate * SLICE_SECONDS:,.0f}",
    )


def work(settings: dict[str, Any], seconds: float, start: Any, results: Any) -> None:
    """Slices one after the other, until time is up."""
    with closing(open_backend(Settings(**settings))) as backend:
        one_slice(backend)  # connections are open, statements compiled
        start.wait()
        began, cpu, slices = time.monotonic(), cpu_seconds(), 0
        while time.monotonic() - began < seconds:
            one_slice(backend)
            slices += 1
        results.put((slices, cpu_seconds() - cpu))


def cpu_seconds() -> float:
    """Of this process."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def busy_seconds() -> float:
    """Of all cores together, whoever used them (Linux; elsewhere nothing is known)."""
    try:
        fields = Path("/proc/stat").read_text().splitlines()[0].split()[1:]
    except OSError:
        return 0.0
    user, nice, system, _idle, _iowait, irq, softirq = (int(field) for field in fields[:7])
    return (user + nice + system + irq + softirq) / 100


if __name__ == "__main__":
    sys.exit(main())
