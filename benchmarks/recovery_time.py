"""How soon a training is worked on again after its process, or its whole worker, was killed.

    python -m benchmarks.recovery_time [--rounds 5] [--seed 1]

A whole service with two workers, slices of 3 s and the usual lease; one training. At random
moments the child that trains is killed, or its worker with all its processes. The time ends when
somebody holds the job again; torch is loaded by then, text and checkpoint are not (small ones
here).
"""

import argparse
import os
import random
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from benchmarks.service import running
from benchmarks.slice_overhead import CONFIG, TEXT
from web.client import Client
from worker.backend import Backend, open_backend
from worker.database import jobs
from worker.settings import Settings

LONGEST_SECONDS = 90.0
SLICE_SECONDS = 3.0
BETWEEN_SECONDS = (1.0, 6.0)  # of work before the next kill: anywhere in a renewal


def main() -> None:
    """Print median and maximum of each kind."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5, help="kills of each kind")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    draw = random.Random(given.seed)  # noqa: S311
    with tempfile.TemporaryDirectory(prefix="lstmq-bench-") as name:
        folder = Path(name)
        with (
            running(folder, slice_seconds=SLICE_SECONDS, train_workers=2, predict_workers=0) as (
                url,
                _,
            ),
            Client(url) as client,
            closing(open_backend(Settings(data_dir=folder / "var"))) as records,
        ):
            (folder / "text.txt").write_text(TEXT)
            client.train(client.upload(folder / "text.txt")["id"], config=CONFIG)
            for kind, kill in (("training child", kill_child), ("whole worker", kill_worker)):
                seconds = [once(records, kill, draw) for _ in range(given.rounds)]
                sys.stdout.write(
                    f"{kind:<16} {len(seconds)} kills: median {statistics.median(seconds):.1f} s, "
                    f"most {max(seconds):.1f} s\n"
                )
                sys.stdout.flush()


def once(records: Backend, kill: Callable[[int], None], draw: random.Random) -> float:
    """Seconds from a kill until the job is held again."""
    seen = row(records).slices  # a slice between two kills: else the job would be poison
    wait_for(lambda: row(records).slices > seen)
    time.sleep(draw.uniform(*BETWEEN_SECONDS))
    wait_for(lambda: row(records).lease_until is not None and worker_of(records))
    epoch, pid = row(records).lease_epoch, worker_of(records) or 0
    killed = time.monotonic()
    kill(pid)
    wait_for(lambda: row(records).lease_epoch > epoch and row(records).lease_until is not None)
    return time.monotonic() - killed


def row(records: Backend) -> Any:
    """The record of the only job."""
    with records.database.reading() as connection:
        return connection.execute(sa.select(jobs)).one()


def worker_of(records: Backend) -> int | None:
    """The process of the worker that holds the job."""
    holder = row(records).lease_owner or ""
    return next(
        (each.pid for each in records.live.workers() if holder.endswith(f"@{each.name}")), None
    )


def kill_child(worker: int) -> None:
    """The process that trains; its worker lives."""
    (child,) = Path(f"/proc/{worker}/task/{worker}/children").read_text().split()
    os.kill(int(child), signal.SIGKILL)


def kill_worker(worker: int) -> None:
    """All of its processes."""
    os.killpg(worker, signal.SIGKILL)


def wait_for(check: Callable[[], object]) -> None:
    """Until it is true."""
    deadline = time.monotonic() + LONGEST_SECONDS
    while not check():
        if time.monotonic() > deadline:
            raise SystemExit("the training does not go on")
        time.sleep(0.02)


if __name__ == "__main__":
    main()
