"""What a training does with its share of the cores, and with as many threads as the machine has.

    python -m benchmarks.threads
    python -m benchmarks.threads --docker lstmq-worker

Steps a second of a small and of a larger character model, here or in containers with less than the
machine: `--cpus` (a quota of time) and `--cpuset-cpus` (a set of cores). "Own choice" is what a
worker takes when it is asked for all it can get (`worker.cores.most`); beside it the count of the
machine's cores, which is what torch takes by itself. Containers use the code of this folder.
"""

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from worker import cores

ROOT = Path(__file__).parents[1]
LIMITS = ((), ("--cpus", "1"), ("--cpus", "0.5"), ("--cpuset-cpus", "0"))
SECONDS = 4.0
SIZES = {"1x128": (128, 1), "2x256": (256, 2)}
TEXT = b"the cat sat on the mat, and the dog lay by the door of the house.\n" * 2000


def main() -> None:
    """Print a line for each limit."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--docker", metavar="IMAGE", help="in containers of this image")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--line", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        size, threads = given.child
        sys.stdout.write(f"{steps_a_second(size, int(threads)):.2f}\n")
    elif given.docker:
        for limit in LIMITS:
            inside(given.docker, limit)
    else:
        line(given.line or "here")


def inside(image: str, limit: tuple[str, ...]) -> None:
    """One line from a container with this limit."""
    here = ("-v", f"{ROOT}:/src:ro", "-w", "/src", "-e", "PYTHONPATH=/src")
    command = ("python", "-m", "benchmarks.threads", "--line", " ".join(limit) or "no limit")
    subprocess.run(["docker", "run", "--rm", *limit, *here, image, *command], check=True)  # noqa: S603, S607


def line(name: str) -> None:
    """Each size with each number of threads, in processes of their own, taking turns."""
    choices = {"own choice": cores.most(), "machine's cores": os.cpu_count() or 1}
    sys.stdout.write(f"{name:<18}{cores.most()} of {os.cpu_count()} cores")
    for size in SIZES:
        found = {choice: measured(size, threads) for choice, threads in choices.items()}
        own, machine = found["own choice"], found["machine's cores"]
        sys.stdout.write(f"   {size}: {own:6.1f} steps/s, {machine:6.1f} ({own / machine:.2f}x)")
    sys.stdout.write("\n")
    sys.stdout.flush()


def measured(size: str, threads: int) -> float:
    """In a process that begins with so many threads, as a worker does."""
    cores.limit(threads)
    command = [sys.executable, "-m", "benchmarks.threads", "--child", size, str(threads)]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)  # noqa: S603


def steps_a_second(size: str, threads: int) -> float:
    """Of a training, once it runs evenly."""
    from lstmcore.config import resolve_config  # noqa: PLC0415 - loads torch, after `limit`
    from lstmcore.corpus import read_corpus, summarize  # noqa: PLC0415
    from lstmcore.training import StepDone, Trainer  # noqa: PLC0415

    hidden, layers = SIZES[size]
    corpus = read_corpus(TEXT).corpus
    config: dict[str, Any] = {
        "preset": "char",
        "model": {"embed_dim": 64, "hidden_dim": hidden, "layers": layers},
        "training": {"epochs": 1000, "batch_size": 32, "bptt": 64, "patience": None},
    }
    trainer = Trainer.start(resolve_config(config, summarize(corpus)), corpus, threads=threads)
    steps, began = 0, float("inf")
    for item in trainer.run():
        if not isinstance(item, StepDone):
            continue
        steps += 1
        if steps == 2:  # noqa: PLR2004 - the first takes longer
            began = time.perf_counter()
        if time.perf_counter() - began > SECONDS:
            break
    return (steps - 2) / (time.perf_counter() - began)


if __name__ == "__main__":
    main()
