"""How many slices a second the records and the queue can carry, and what gives out first. No torch.

    python -m benchmarks.claims
    python -m benchmarks.claims --redis redis://… --database postgresql://…

Up to eight processes do what workers do around a slice (claim, look for wishes, renew once, tell
one event, publish, ring for the next) as fast as they can, on many waiting jobs of many owners. A
worker whose slices last 20 s needs a twentieth of a slice a second: the table says for how many
workers the rate would do, and which processes used the cores meanwhile. Without addresses it
starts a Redis and a Postgres of its own, which sync the disk. A database that is named is emptied.
"""

import argparse
import multiprocessing
import resource
import sys
import tempfile
import time
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import redis

from benchmarks.queue_scale import empty, fill, one_slice
from benchmarks.real_servers import (
    disk_seconds,
    postgres_server,
    processor_seconds,
    redis_server,
)
from worker.backend import open_backend
from worker.settings import Settings

PROCESSES = (1, 2, 4, 8)
SLICE_SECONDS = 20
COLUMNS = (
    *("processes", "slices/s", "ms a slice", "clients CPU", "database CPU", "Redis CPU"),
    *("cores busy", "disk busy", "20 s workers"),
)


def main() -> None:
    """Print a table for each database."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--database", help="SQLAlchemy URL; else SQLite, then one of its own")
    parser.add_argument("--redis", help="URL of a Redis that may be emptied")
    parser.add_argument("--jobs", type=int, default=10_000, help="jobs that wait")
    parser.add_argument("--seconds", type=float, default=10.0, help="of each measurement")
    given = parser.parse_args()
    with ExitStack() as stack:
        queue = given.redis or stack.enter_context(redis_server())
        databases = {"as named": given.database} if given.database else {"SQLite": ""}
        if not given.database:
            databases["Postgres, fsync on"] = stack.enter_context(postgres_server())
        for name, database in databases.items():
            sys.stdout.write(f"\n{name}; CPU in milliseconds a slice\n")
            table(database, queue, given.jobs, given.seconds)


def table(database: str, queue: str, jobs: int, seconds: float) -> None:
    """Every number of processes on one database."""
    with tempfile.TemporaryDirectory(prefix="lstmq-bench-") as folder:
        settings: dict[str, Any] = {
            "data_dir": Path(folder),
            "database_url": database,
            "redis_url": queue,
        }
        with closing(open_backend(Settings(**settings))) as backend:
            empty(backend)
            fill(backend, jobs, jobs)
        print_line(*COLUMNS)
        for count in PROCESSES:
            with redis.Redis.from_url(queue) as server:
                server.flushall()
            measure(settings, count, seconds)


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
    before, began = used_seconds(settings["data_dir"]), time.monotonic()
    done = [results.get() for _ in workers]
    took = time.monotonic() - began
    used = [new - old for new, old in zip(used_seconds(settings["data_dir"]), before, strict=True)]
    for worker in workers:
        worker.join()
    slices, clients = sum(one[0] for one in done), sum(one[1] for one in done)
    busy, database, queue, disk = used
    print_line(
        str(count),
        f"{slices / seconds:,.0f}",
        f"{1000 * seconds * count / slices:.1f}",
        *(f"{1000 * each / slices:.1f}" for each in (clients, database, queue)),
        f"{busy / (took * multiprocessing.cpu_count()):.0%}",
        f"{disk / took:.0%}",
        f"{slices / seconds * SLICE_SECONDS:,.0f}",
    )


def used_seconds(folder: Path) -> tuple[float, float, float, float]:
    """So far: of all cores, by Postgres, by Redis, and of the disk (Linux)."""
    return (
        busy_seconds(),
        processor_seconds("postgres"),
        processor_seconds("redis-server"),
        disk_seconds(folder),
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


def print_line(*cells: str) -> None:
    """One line of a table."""
    sys.stdout.write("".join(f"{cell:>14}" for cell in cells) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
