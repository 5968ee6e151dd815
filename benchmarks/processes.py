"""What two cores do with many trainings: one process, two, or one with two threads.

    LSTMQ_CORPORA=FOLDER python -m benchmarks.processes

Bare processes, no queue: each trains a small character model (1x128) on Tiny Shakespeare and is
told how many steps to take. The three ways take turns; time is wall time: a busy machine shows.
"""

import statistics
import subprocess
import sys
import time
from contextlib import ExitStack

from benchmarks.side_by_side import Table

STEPS, ROUNDS = 40, 9
JOB_STEPS = 1_000  # what is called a job in jobs an hour


def main() -> None:
    """Print jobs an hour of each way, and two processes over one."""
    if len(sys.argv) > 1:
        child(int(sys.argv[1]))
        return
    with ExitStack() as stack:
        first, second, threaded = (stack.enter_context(start(threads)) for threads in (1, 1, 2))
        ways = {
            "one process": [first],
            "two processes": [first, second],
            "one process, two threads": [threaded],
        }
        speeds: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(ROUNDS):
            for name, workers in ways.items():
                speeds[name].append(len(workers) * STEPS / seconds_of(workers))
    table = Table("many trainings, characters 1x128")
    for name, found in speeds.items():
        jobs = 3600 * statistics.median(found) / JOB_STEPS
        table.add(name, f"{jobs:,.0f} jobs of {JOB_STEPS:,} steps an hour")
    for name in ("two processes", "one process, two threads"):
        pairs = zip(speeds[name], speeds["one process"], strict=True)
        table.add(f"{name} / one", f"{statistics.median(a / b for a, b in pairs):.2f}x")
    table.print()


def start(threads: int) -> "subprocess.Popen[str]":
    """A training that waits for orders on its standard input; ends when that is closed."""
    worker = subprocess.Popen(  # noqa: S603
        [sys.executable, "-m", "benchmarks.processes", str(threads)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1,
    )  # fmt: skip
    wait_for(worker)
    return worker


def seconds_of(workers: "list[subprocess.Popen[str]]") -> float:
    """How long they take for their steps, side by side."""
    began = time.perf_counter()
    for worker in workers:
        if worker.stdin is not None:
            worker.stdin.write(f"{STEPS}\n")
    for worker in workers:
        wait_for(worker)
    return time.perf_counter() - began


def wait_for(worker: "subprocess.Popen[str]") -> None:
    """Wait until it says that it is ready."""
    if worker.stdout is None or not worker.stdout.readline():
        raise RuntimeError("a training ended early")


def child(threads: int) -> None:
    """Train as many steps as each line of the standard input says."""
    from benchmarks.training import Case, steps, training  # noqa: PLC0415 - loads torch

    step = steps(training(Case(8_000, 128, 1, 16, 64, "char", "adamw"), threads))
    step()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    for line in sys.stdin:
        for _ in range(int(line)):
            step()
        sys.stdout.write("done\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
